//! A handler that does nothing, served as Vitrine is: what HTTP alone costs.

use std::{net::TcpListener, path::Path, time::Duration};

use actix_web::{App, HttpResponse, HttpServer, rt::System, web};
use testbed::{
    Call, patience,
    postgres::free_port,
    supervised::{Program, Supervised},
};

use crate::{
    failure::{Failure, Result},
    processes::cores,
};

/// The handler in a process of its own.
pub(crate) struct Empty {
    process: Supervised,
    host: String,
}

impl Empty {
    /// Starts this very program again, to serve nothing.
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        let program = std::env::current_exe().map_err(|error| Failure::doing("our own path", error))?;
        let port = free_port().to_string();
        let process =
            Program::new(program).args(["empty", "--port", &port]).start(&directory.join("empty.log"));
        let host = format!("127.0.0.1:{port}");
        patience::until("the empty handler", Duration::from_secs(10), || {
            Call::new("GET", format!("http://{host}/")).try_send().filter(|answer| answer.status == 200)
        });
        Ok(Self { process, host })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Where it listens.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

/// Serves nothing, until it is ended: as many workers as Vitrine has.
pub(crate) fn serve(port: u16) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port));
    let listener = listener.map_err(|error| Failure::doing("listening", error))?;
    let application = || App::new().default_service(web::to(|| async { HttpResponse::Ok().finish() }));
    System::new()
        .block_on(async move {
            HttpServer::new(application)
                .workers(cores())
                .keep_alive(Duration::from_secs(75))
                .listen(listener)?
                .run()
                .await
        })
        .map_err(|error| Failure::doing("serving nothing", error))
}

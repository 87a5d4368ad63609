//! Being told to stop.

use std::{io, sync::Arc, time::Duration};

use actix_web::{
    dev::ServerHandle,
    rt::{
        signal::unix::{Signal, SignalKind, signal},
        time::timeout,
    },
};
use api_http::App;

/// The signals that end the program.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    /// Listens to them from now on.
    ///
    /// # Errors
    /// The system does not let us.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Stops the server when told to. SIGTERM: it answers on for as long as `drain`, but is not ready and lets go of its
    /// connections; then no new ones, and requests under way may finish. A second signal, SIGINT or SIGQUIT: at once. What
    /// else is to end with the server is told by `beside`.
    pub(crate) async fn stop(
        mut self,
        app: Arc<App>,
        drain: Duration,
        beside: impl FnOnce(),
        server: ServerHandle,
    ) {
        let is_in_order = tokio::select! {
            _ = self.terminate.recv() => true,
            _ = self.interrupt.recv() => false,
            _ = self.quit.recv() => false,
        };
        if is_in_order {
            app.leave();
            tracing::info!(seconds = drain.as_secs(), "told to stop; not ready any more");
            let is_impatient = timeout(drain, self.again()).await.is_ok();
            beside();
            if is_impatient {
                return server.stop(false).await;
            }
            let stopping = server.stop(true);
            tokio::pin!(stopping);
            tokio::select! {
                () = &mut stopping => return,
                () = self.again() => {}
            }
        } else {
            beside();
        }
        server.stop(false).await;
    }

    /// Any of them.
    async fn again(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.quit.recv() => {}
        }
    }
}

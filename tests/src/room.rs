//! A disk of a private cluster's own that is soon full.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::postgres::{Cluster, Database, Durability, Postgres, directory, prepare, programs, unprivileged};
use crate::supervised::Program;

/// The directory, and the tablespace in it.
const ROOM: &str = "room";

impl Postgres {
    /// A private cluster with a disk of so many MiB for the databases of [`Postgres::database_in_its_room`].
    ///
    /// That disk is a memory file system which only the server sees, and which goes with it.
    ///
    /// # Errors
    /// Only root may mount one.
    pub fn with_a_small_room(durability: Durability, megabytes: u32) -> Result<Self, String> {
        let directory = directory();
        let Some(user) = unprivileged(&directory) else {
            fs::remove_dir_all(&directory).expect("our own directory");
            return Err("a disk that can be filled has to be mounted, and that takes root".to_owned());
        };
        let room = directory.join(ROOM);
        fs::create_dir(&room).expect("a directory");
        std::os::unix::fs::chown(&room, Some(user.uid), Some(user.gid)).expect("its owner");
        let password = prepare(&directory);
        let mut cluster = Cluster::new(programs(), directory, false, durability, Vec::new());
        cluster.room = Some(megabytes);
        let postgres = Self::of(cluster.at_a_free_port(), &password);
        let location = format!("CREATE TABLESPACE room LOCATION '{}'", room.display());
        postgres.query(&postgres.admin_url, &location);
        Ok(postgres)
    }

    /// Fills the disk to the last byte.
    pub fn fill_room(&self) {
        let mut ballast = fs::File::create(self.ballast()).expect("a file on the small disk");
        for piece in [1 << 20, 4096] {
            while ballast.write_all(&vec![0; piece]).is_ok() {}
        }
    }

    /// Makes room again.
    pub fn empty_room(&self) {
        fs::remove_file(self.ballast()).expect("the file that fills the disk");
    }

    /// Nobody but the server and what it started has the disk in its file system; root has theirs.
    fn ballast(&self) -> PathBuf {
        let room = self.cluster().directory.join(ROOM);
        let room = room.strip_prefix("/").expect("an absolute path");
        Path::new("/proc").join(self.pid().to_string()).join("root").join(room).join("ballast")
    }

    /// A new, empty database on the small disk.
    pub fn database_in_its_room(&self) -> Database<'_> {
        let database = self.database();
        let sql = format!("ALTER DATABASE {} SET TABLESPACE room", database.name());
        self.query(&self.admin_url, &sql);
        database
    }
}

/// A program that mounts the disk in the cluster's directory, where only it and what it starts see it, and goes on with what
/// its further arguments say.
pub(crate) fn mounted(directory: &Path, megabytes: u32) -> Program {
    let options = format!("size={megabytes}m,mode=0700");
    Program::new("unshare")
        .args(["--mount", "--propagation", "private", "--", "sh", "-c", MOUNTED, &options])
        .arg(directory.join(ROOM))
        .arg("env")
}

/// `$0` options of the mount, `$1` where, the rest a program for which there is one. The directory's owner has it.
const MOUNTED: &str = r#"
owner=$(stat -c uid=%u,gid=%g "$1") || exit 1
mount -t tmpfs -o "$0,$owner" tmpfs "$1" || exit 1
shift
exec "$@"
"#;

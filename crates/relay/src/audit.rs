//! The audit log: one CADF record a line, in a file or on standard output.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use core_domain::outbox::Delivery;

use crate::{
    cadf,
    sink::{Failure, Sink, Time, Told},
};

/// Lines are written so many at a time.
const MOST: usize = 100;

/// An audit log.
#[derive(Debug)]
pub struct Audit {
    place: Place,
    observer: String,
}

#[derive(Debug)]
enum Place {
    File { path: PathBuf, open: Option<Open> },
    Output,
}

/// A file as we left it.
#[derive(Debug)]
struct Open {
    file: File,
    /// How long it was when the last of our lines was whole; another length, and its end is looked at.
    length: Option<u64>,
}

impl Audit {
    /// To this file, made if it is not there. It may be renamed at any time: the next line goes to a new one.
    #[must_use]
    pub fn file(path: PathBuf, observer: &str) -> Self {
        Self { place: Place::File { path, open: None }, observer: observer.to_owned() }
    }

    /// To standard output.
    #[must_use]
    pub fn output(observer: &str) -> Self {
        Self { place: Place::Output, observer: observer.to_owned() }
    }
}

impl Sink for Audit {
    fn name(&self) -> &'static str {
        "audit"
    }

    fn most(&self) -> usize {
        MOST
    }

    fn prepare(&mut self, _: Time) -> Result<(), String> {
        match &mut self.place {
            Place::File { path, open: open @ None } => {
                *open = Some(Open::at(path).map_err(|error| cannot_write(path, &error))?);
                Ok(())
            }
            Place::File { .. } | Place::Output => Ok(()),
        }
    }

    fn tell(&mut self, deliveries: &[Delivery], time: Time) -> Told {
        let mut lines = String::new();
        for delivery in deliveries {
            lines.push_str(&cadf::record(delivery, &self.observer).to_string());
            lines.push('\n');
        }
        if time.is_up() {
            return Told::nothing(None);
        }
        let written = match &mut self.place {
            Place::File { path, open } => {
                append(path, open, lines.as_bytes()).map_err(|error| cannot_write(path, &error))
            }
            Place::Output => output(lines.as_bytes())
                .map_err(|error| format!("standard output cannot be written: {error}")),
        };
        match written {
            Ok(()) => Told::all(deliveries.len()),
            Err(why) => Told { done: 0, tried: deliveries.len(), failure: Some(Failure::Away(why)) },
        }
    }

    fn rest(&mut self) {
        if let Place::File { open, .. } = &mut self.place {
            *open = None;
        }
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be written: {error}", path.display())
}

fn output(lines: &[u8]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(lines)?;
    output.flush()
}

/// Appends whole lines and waits until they are on the disk.
fn append(path: &Path, open: &mut Option<Open>, lines: &[u8]) -> io::Result<()> {
    if open.as_ref().is_some_and(|open| !is_at(&open.file, path)) {
        *open = None;
    }
    let written = match open {
        Some(open) => open.append(lines),
        None => Open::at(path).and_then(|new| open.insert(new).append(lines)),
    };
    if written.is_err() {
        // Who knows how much of it was written; the end is looked at before the next line.
        *open = None;
    }
    written
}

/// Whether the path still leads to this file.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |data: std::fs::Metadata| (data.dev(), data.ino());
    match (file.metadata(), path.metadata()) {
        (Ok(file), Ok(path)) => identity(file) == identity(path),
        _ => false,
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        // Read as well, for a look at its end. Who may read whose audit log is for its group to say.
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
        if let Some(Ok(directory)) = path.parent().map(File::open) {
            // A new file's name is to last as long as what is in it; where directories cannot be synced, it does.
            let _ = directory.sync_all();
        }
        Ok(Self { file, length: None })
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        if self.length != Some(length) && is_torn(&mut self.file, length)? {
            // Whoever wrote this line was killed, or the disk was full: it is no record, but the next one will be.
            self.file.write_all(b"\n")?;
        }
        self.file.write_all(lines)?;
        self.file.sync_data()?;
        self.length = Some(self.file.metadata()?.len());
        Ok(())
    }
}

/// Whether the last line has no end.
fn is_torn(file: &mut File, length: u64) -> io::Result<bool> {
    if length == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(length - 1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

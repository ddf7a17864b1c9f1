//! Opening a file that holds a key: only a regular file of this user, never through a
//! symbolic link, never waiting for the other end of a pipe.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd;

use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::path::Arg;
use rustix::process::geteuid;
use zeroize::Zeroizing;

/// Most bytes that such a file may have.
const MAX_BYTES: usize = 64 << 10;

/// Why a file is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Oddity {
    #[error("it is a symbolic link")]
    SymbolicLink,
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it belongs to another user")]
    ForeignOwner,
    #[error("it is longer than 64 KiB")]
    TooLong,
    #[error("{0}")]
    System(#[from] Errno),
}

/// The content of such a file.
pub(super) struct PrivateContent {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// Whether its mode lets other users read or write it.
    pub(super) open_to_others: bool,
}

/// Reads a file; `None` where there is none.
pub(super) fn read(folder: impl AsFd, name: impl Arg) -> Result<Option<PrivateContent>, Oddity> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match openat(folder, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(Errno::LOOP) => return Err(Oddity::SymbolicLink),
        // A socket, or a device without a driver.
        Err(Errno::NXIO) => return Err(Oddity::NotAFile),
        Err(error) => return Err(error.into()),
    };
    // Asked of the open file, so that nobody can put another one in its place.
    let status = fstat(&file)?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return Err(Oddity::NotAFile);
    }
    if status.st_uid != geteuid().as_raw() {
        return Err(Oddity::ForeignOwner);
    }
    let open_to_others = status.st_mode & 0o077 != 0;
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    let read = File::from(file).take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    if bytes.len() > MAX_BYTES {
        return Err(Oddity::TooLong);
    }
    Ok(Some(PrivateContent { bytes, open_to_others }))
}

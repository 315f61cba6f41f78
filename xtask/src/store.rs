//! The folder in which everything that is set up lives: the user's data directory, or the folder
//! that `DECODING_HOME` names.
//!
//! Each part has a folder. Its name ends in a hash of all that the part depends on. So two clones
//! share what is equal for both, and a change makes a new folder beside the old one. A complete part
//! has a mark, a file that names all that is in the folder. A part that was interrupted has no mark.
//! It is made again, and so is a part from which something was deleted.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::root;

const MARK: &str = "complete";

pub fn home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("DECODING_HOME").filter(|home| !home.is_empty()) {
        return Ok(root().join(home)); // the same folder for a kernel, which starts in another one
    }
    let home = dirs::data_dir().map(|data| data.join("decoding-in-rust"));
    home.context("HOME is not set: set it, or DECODING_HOME, to a folder")
}

pub struct Part {
    pub folder: PathBuf,
}

impl Part {
    /// The part that depends on these texts, whether it is complete or not.
    pub fn new(name: &str, depends_on: &[&str]) -> Result<Self> {
        Ok(Self { folder: home()?.join(format!("{name}-{}", hash(depends_on))) })
    }

    pub fn is_complete(&self) -> bool {
        let names = fs::read_to_string(self.folder.join(MARK));
        names.is_ok_and(|names| names.lines().all(|name| self.folder.join(name).exists()))
    }

    /// Empties the folder of a part that is not complete.
    pub fn start(&self) -> Result<()> {
        remove(&self.folder)?;
        fs::create_dir_all(&self.folder).with_context(|| cannot_write(&self.folder))
    }

    pub fn finish(&self) -> Result<()> {
        self.finish_as_of(SystemTime::now())
    }

    /// Marks the part as complete since an earlier moment.
    pub fn finish_as_of(&self, time: SystemTime) -> Result<()> {
        let names = fs::read_dir(&self.folder)?
            .map(|entry| Ok(format!("{}\n", entry?.file_name().display())))
            .collect::<Result<String>>()?;
        let mark = self.folder.join(MARK);
        fs::write(&mark, names)
            .and_then(|()| File::options().append(true).open(mark)?.set_modified(time))
            .with_context(|| cannot_write(&self.folder))
    }

    pub fn finished(&self) -> Result<SystemTime> {
        Ok(fs::metadata(self.folder.join(MARK))?.modified()?)
    }
}

pub fn hash(what: impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

pub fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(err) if folder.exists() => bail!("cannot delete {} ({err})", folder.display()),
        _ => Ok(()),
    }
}

pub fn cannot_write(path: &Path) -> String {
    format!("cannot write {}: make it writable", path.display())
}

/// Waits until no other set-up is running. The lock ends with this process.
pub fn lock() -> Result<File> {
    let home = home()?;
    let file = home.join("lock");
    let mut own = File::options();
    own.create(true).write(true).mode(0o600); // a user who can read it can lock it
    let lock = fs::create_dir_all(home).and_then(|()| own.open(&file));
    let lock = lock.with_context(|| cannot_write(&file))?;
    if let Err(fs::TryLockError::WouldBlock) = lock.try_lock() {
        println!("waiting for another set-up to finish ...");
        lock.lock()?;
    }
    Ok(lock) // on a file system without locks, users must not start two set-ups at once
}

/// Whether a file can be made in a folder. Tries it, because permissions do not tell all and root
/// ignores them. A full disk is another problem, so there the answer is yes.
pub fn is_writable(folder: &Path) -> bool {
    let Some(folder) = nearest_existing(folder) else {
        return false;
    };
    let tried = tempfile::tempdir_in(folder);
    tried.map_or_else(|err| err.kind() == ErrorKind::StorageFull, |_| true)
}

/// Whether users other than its owner can write to a folder. (In a group with the owner's number, the
/// owner is the only member.)
pub fn is_writable_by_others(folder: &Path) -> bool {
    fs::metadata(folder)
        .is_ok_and(|it| it.mode() & 0o002 != 0 || (it.mode() & 0o020 != 0 && it.gid() != it.uid()))
}

/// Whether all users can reach a folder and read it.
pub fn is_public(folder: &Path) -> bool {
    let folder = folder.canonicalize().unwrap_or_default();
    let allows = |path: &Path, right| fs::metadata(path).is_ok_and(|it| it.mode() & right == right);
    allows(&folder, 0o005) && folder.ancestors().all(|above| allows(above, 0o001))
}

/// Free space on the disk of a folder, in 10^9 bytes.
pub fn free_gb(folder: &Path) -> Option<f64> {
    let space = rustix::fs::statvfs(nearest_existing(folder)?).ok()?;
    Some(space.f_bavail as f64 * space.f_frsize as f64 / 1e9)
}

/// The folder itself or, if it does not exist yet, the folder in which it will be made.
fn nearest_existing(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| folder.exists())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_part_from_which_something_was_deleted_is_not_complete() {
        let folder = tempfile::tempdir().unwrap();
        let part = Part { folder: folder.path().join("part") };
        part.start().unwrap();
        let inner = part.folder.join("inner");
        fs::create_dir(&inner).unwrap();
        assert!(!part.is_complete());
        part.finish_as_of(SystemTime::UNIX_EPOCH).unwrap();
        assert!(part.is_complete());
        assert_eq!(part.finished().unwrap(), SystemTime::UNIX_EPOCH);
        fs::remove_dir(&inner).unwrap();
        assert!(!part.is_complete());
    }

    #[test]
    fn a_folder_in_a_private_one_is_not_public() {
        let folder = tempfile::tempdir().unwrap();
        let (private, inner) = (folder.path(), folder.path().join("inner"));
        fs::create_dir(&inner).unwrap();
        let set_mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        set_mode(&inner, 0o755);
        set_mode(private, 0o700);
        assert!(!is_public(&inner) && !is_writable_by_others(&inner));
        set_mode(private, 0o755);
        assert!(is_public(&inner));
        set_mode(&inner, 0o757);
        assert!(is_writable_by_others(&inner));
    }
}

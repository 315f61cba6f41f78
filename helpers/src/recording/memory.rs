//! How much memory is free.

use std::io;
use std::path::Path;

/// An error if fewer than `n_bytes` are free.
pub fn check_free(n_bytes: usize) -> io::Result<()> {
    match free_memory(Path::new("/")) {
        Some(n_free) if n_free < n_bytes as u64 => {
            Err(io::Error::other("more numbers than fit into the memory that is free"))
        }
        _ => Ok(()),
    }
}

/// The bytes that are free on this machine and in this container; `None` where the system is not
/// Linux. Linux grants more memory than there is, and then ends the process that uses it. `root` is
/// `/`, or a folder in its place in a test.
fn free_memory(root: &Path) -> Option<u64> {
    let read = |file: &str| std::fs::read_to_string(root.join(file)).ok();
    let number_after = |file, name| {
        let text = read(file)?;
        text.split_once(name)?.1.split_whitespace().next()?.parse::<u64>().ok()
    };
    let in_machine = number_after("proc/meminfo", "MemAvailable:")? * 1024;
    let in_container = || {
        let limit: u64 = read("sys/fs/cgroup/memory.max")?.trim().parse().ok()?;
        Some(limit.saturating_sub(number_after("sys/fs/cgroup/memory.stat", "anon ")?))
    };
    Some(in_container().map_or(in_machine, |free| free.min(in_machine)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn free_memory_is_that_of_the_machine_or_of_the_container_if_that_has_less() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        assert_eq!(free_memory(root.path()), None);
        write("proc/meminfo", "MemTotal:       8000000 kB\nMemAvailable:    4000000 kB\n");
        assert_eq!(free_memory(root.path()), Some(4_096_000_000));
        write("sys/fs/cgroup/memory.stat", "anon 1000000000\nfile 5000000000\n");
        for (limit, expected) in [("3000000000", 2_000_000_000), ("max", 4_096_000_000)] {
            write("sys/fs/cgroup/memory.max", &format!("{limit}\n"));
            assert_eq!(free_memory(root.path()), Some(expected));
        }
    }
}

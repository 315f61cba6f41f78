//! Files exchanged with NumPy itself. Needs the Python environment of `cargo xtask test`.

use std::path::{Path, PathBuf};
use std::process::Command;

use helpers::*;

fn numpy(folder: &Path, script: &str) -> String {
    let python = std::env::var_os("LAB_PYTHON").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/lab/python/bin/python"),
        PathBuf::from,
    );
    let output = Command::new(&python)
        .current_dir(folder)
        .args(["-c", &format!("import numpy as np\n{script}")])
        .output()
        .unwrap_or_else(|why| panic!("{}: {why}: run `cargo xtask test`", python.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_numpy_writes_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let names = numpy(
        dir.path(),
        "
import io, zipfile
resp = np.array([[0.5, -1.25, 3], [4, 5.75, 1e-3]])
stimuli = np.array([0.0, 90.0])
for dtype in ['<f4', '>f4', '<f8', '>f8']:
    for order in 'CF':
        for save in (np.savez, np.savez_compressed):
            name = f'{dtype[1:]}{ord(dtype[0])}{order}{save.__name__}.npz'
            save(name, resp=np.array(resp, dtype, order=order), stimuli=stimuli.astype(dtype))
            print(name)
for version in [(1, 0), (2, 0), (3, 0)]:
    name = f'version{version[0]}.npz'
    with zipfile.ZipFile(name, 'w') as file:
        for member, array in [('resp', resp), ('stimuli', stimuli)]:
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, version=version)
            file.writestr(member + '.npy', buffer.getvalue())
    print(name)
",
    );
    assert_eq!(names.lines().count(), 19);
    for name in names.lines() {
        let (resp, stimuli) = load_data(dir.path().join(name), 1).expect(name);
        assert_eq!(
            resp.to_vec2::<f32>().unwrap(),
            [[0.5, -1.25, 3.0], [4.0, 5.75, 1e-3]],
            "{name}"
        );
        assert_eq!(stimuli.to_vec2::<f32>().unwrap(), [[0.0], [90.0]], "{name}");
    }
}

#[test]
fn what_is_written_here_numpy_reads() {
    let dir = tempfile::tempdir().unwrap();
    std::env::set_current_dir(dir.path()).unwrap();
    let path = simulate_recording(1).unwrap();
    let (resp, _) = load_data(&path, 1).unwrap();
    let printed = numpy(
        dir.path(),
        "
file = np.load('simulated_recording_seed1.npz')
resp, stimuli = file['resp'], file['stimuli']
assert resp.dtype == np.float32 and resp.flags.c_contiguous
assert (stimuli == np.arange(360)).all()
print(*resp.shape, resp[17, 4711].item(), resp[359, 23588].item())
",
    );
    let at = |i: usize, j: usize| f64::from(resp.i((i, j)).unwrap().to_scalar::<f32>().unwrap());
    let printed: Vec<f64> = printed.split_whitespace().map(|x| x.parse().unwrap()).collect();
    assert_eq!(printed, [360.0, 23_589.0, at(17, 4711), at(359, 23_588)]);
}

#[test]
fn bins_are_numpys() {
    let dir = tempfile::tempdir().unwrap();
    // The binning of the original's load_data, on 360 stimuli of 3 neurons.
    let widths = numpy(
        dir.path(),
        "
np.random.seed(0)
stimuli = np.random.permutation(np.arange(360.0))
resp = np.random.rand(360, 3)
np.savez('all.npz', resp=resp, stimuli=stimuli)
for width in [2, 7, 10, 22.5, 90, 360]:
    bins = np.digitize(stimuli, np.arange(0, 360 + width, width))
    where = [bins == i for i in np.unique(bins)]
    np.savez(f'{width}.npz', resp=np.array([resp[w].mean(0) for w in where]),
             stimuli=np.array([stimuli[w].mean() for w in where]))
    print(width)
",
    );
    for width in widths.lines() {
        let (resp, stimuli) =
            load_data(dir.path().join("all.npz"), width.parse::<f64>().unwrap()).unwrap();
        let (resp_np, stimuli_np) = load_data(dir.path().join(format!("{width}.npz")), 1).unwrap();
        assert_eq!(stimuli.to_vec2::<f32>().unwrap(), stimuli_np.to_vec2::<f32>().unwrap());
        assert_eq!(resp.dims(), resp_np.dims());
        let difference = (resp - resp_np).unwrap().abs().unwrap().max_all().unwrap();
        assert!(difference.to_scalar::<f32>().unwrap() < 1e-6, "bin width {width}");
    }
}

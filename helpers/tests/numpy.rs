//! Files exchanged with NumPy itself: `cargo xtask test` runs these with a Python that has NumPy.

use std::path::Path;
use std::process::Command;

use helpers::*;

fn numpy(folder: &Path, script: &str) -> String {
    let python = std::env::var_os("NUMPY_PYTHON").expect("NUMPY_PYTHON is set");
    let output = Command::new(python)
        .current_dir(folder)
        .args(["-c", &format!("import numpy as np\n{script}")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "needs NumPy: run by `cargo xtask test`"]
fn arrays_of_all_types_and_orders_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let names = numpy(
        folder.path(),
        "
import io, zipfile
resp = np.array([[0.5, -1.25, 3], [4, 5.75, 1e-3]])
stimuli = np.array([0, 90])
types = ['f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8']
for dtype in [order + dtype for dtype in types for order in '<>']:
    for order in 'CF':
        for save in (np.savez, np.savez_compressed):
            name = f'{dtype[1:]}_{ord(dtype[0])}_{order}_{save.__name__}.npz'
            values = np.abs(resp) if dtype[1] == 'u' else resp
            save(name, resp=np.array(values.astype(dtype), order=order),
                 stimuli=stimuli.astype(dtype).reshape((2, 1) if order == 'F' else 2))
            print(name, *values.astype(dtype).astype('f4').ravel())
for version in [(1, 0), (2, 0), (3, 0)]:
    name = f'version{version[0]}.npz'
    with zipfile.ZipFile(name, 'w') as file:
        for member, array in [('resp', resp), ('stimuli', stimuli)]:
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, version=version)
            file.writestr(member + '.npy', buffer.getvalue())
    print(name, *resp.ravel())
",
    );
    assert_eq!(names.lines().count(), 91);
    for line in names.lines() {
        let (name, values) = line.split_once(' ').unwrap();
        let expected: Vec<f32> = values.split(' ').map(|x| x.parse().unwrap()).collect();
        let (resp, stimuli) = load_data(folder.path().join(name), 1).expect(name);
        assert_eq!(resp.to_vec2::<f32>().unwrap(), [&expected[..3], &expected[3..]], "{name}");
        assert_eq!(stimuli.to_vec2::<f32>().unwrap(), [[0.0], [90.0]], "{name}");
    }
}

#[test]
#[ignore = "needs NumPy: run by `cargo xtask test`"]
fn numpy_reads_a_simulated_recording() {
    let folder = tempfile::tempdir().unwrap();
    let path = simulate_recording(folder.path().join("simulated.npz"), 1).unwrap();
    let (resp, _) = load_data(&path, 1).unwrap();
    let printed = numpy(
        folder.path(),
        "
file = np.load('simulated.npz')
resp, stimuli = file['resp'], file['stimuli']
assert resp.dtype == np.float32 and resp.flags.c_contiguous
assert (stimuli == np.arange(360)).all()
print(*resp.shape, resp[17, 4711].item(), resp[359, 23588].item())
",
    );
    let at = |i: usize, j: usize| f64::from(item(&resp.i((i, j)).unwrap()).unwrap());
    let printed: Vec<f64> = printed.split_whitespace().map(|x| x.parse().unwrap()).collect();
    assert_eq!(printed, [360.0, 23_589.0, at(17, 4711), at(359, 23_588)]);
}

#[test]
#[ignore = "needs NumPy: run by `cargo xtask test`"]
fn bins_equal_numpys() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    // The binning of the original's load_data, on 360 stimuli of 3 neurons.
    let widths = numpy(
        folder.path(),
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
        let all = folder.path().join("all.npz");
        let (resp, stimuli) = load_data(all, width.parse::<f64>().unwrap())?;
        let (resp_np, stimuli_np) = load_data(folder.path().join(format!("{width}.npz")), 1)?;
        assert_eq!(stimuli.to_vec2::<f32>()?, stimuli_np.to_vec2::<f32>()?);
        let difference = item(&(resp - resp_np)?.abs()?.max_all()?)?;
        assert!(difference < 1e-6, "bin width {width}");
    }
    Ok(())
}

//! No C library, no start files, one segment.
fn main() {
    for argument in [
        "-nostartfiles",
        "-nostdlib",
        "-static",
        "-no-pie",
        "-Wl,--build-id=none,-z,noseparate-code",
    ] {
        println!("cargo::rustc-link-arg={argument}");
    }
}

//! `main!` in a program that has not left `main` to it.
//~ WriteNoMainAtTheTopOfTheProgram
coldstart::main!(hello);

fn hello(_: &coldstart::Request<'_>) -> &'static str {
    "hello"
}

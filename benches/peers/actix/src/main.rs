//! Greeting and echo as in actix's documentation.

use actix_web::{App, HttpServer, web};

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let port: u16 = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(9000);
    HttpServer::new(|| {
        App::new()
            .route("/hello", web::get().to(async || "Hello, World!"))
            .route("/echo", web::post().to(async |body: web::Bytes| body))
    })
    .workers(1)
    .max_connections(20_000)
    .bind(("0.0.0.0", port))?
    .run()
    .await
}

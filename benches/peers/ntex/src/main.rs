//! Greeting and echo as in ntex's documentation, on tokio.

use ntex::util::Bytes;
use ntex::web::{self, App, HttpResponse, HttpServer};

#[ntex::main]
async fn main() -> std::io::Result<()> {
    let port: u16 = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(9000);
    HttpServer::new(async || {
        App::new()
            .route("/hello", web::get().to(async || HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("Hello, World!")))
            .route("/echo", web::post().to(async |body: Bytes| HttpResponse::Ok().body(body)))
    })
    .workers(1)
    .maxconn(20_000)
    .bind(("0.0.0.0", port))?
    .run()
    .await
}

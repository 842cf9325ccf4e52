//! A shop, written against axum, tower-http and reqwest, on tokio: it names no server. See `main.rs` and `on_hyper.rs` for what serves it.

use core::convert::Infallible;
use core::time::Duration;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::multipart::MultipartError;
use axum::extract::rejection::JsonRejection;
use axum::extract::{
    DefaultBodyLimit, FromRequest, FromRequestParts, Multipart, Path, Query, Request, State,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, Request as HttpRequest, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Form, Json, Router};
use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::broadcast;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::request_id::{
    MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::services::ServeDir;
use tower_http::trace::TraceLayer;

const PHOTO_LEN_MAX: usize = 64 * 1024 * 1024;

#[derive(Clone, Debug, Serialize)]
struct Product {
    id: u64,
    name: String,
    cents: u64,
}

#[derive(Debug)]
struct Shop {
    products: Mutex<BTreeMap<u64, Product>>,
    last: AtomicU64,
    news: broadcast::Sender<String>,
    client: reqwest::Client,
    /// Where exchange rates are, such as `http://rates.example`.
    rates: String,
    photos: PathBuf,
}

impl Shop {
    fn products(&self) -> MutexGuard<'_, BTreeMap<u64, Product>> {
        self.products.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn product(&self, id: u64) -> Result<Product, Problem> {
        let found = self.products().get(&id).cloned();
        found.ok_or(Problem::NotFound)
    }
}

type Shared = State<Arc<Shop>>;

// Errors.

#[derive(Debug)]
enum Problem {
    NotFound,
    Unauthorized,
    Invalid(&'static str),
    Json(JsonRejection),
    Form(MultipartError),
    Upstream(reqwest::Error),
    File(std::io::Error),
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, problem) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not found".to_owned()),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "who are you?".to_owned()),
            Self::Invalid(why) => (StatusCode::UNPROCESSABLE_ENTITY, why.to_owned()),
            Self::Json(rejection) => (rejection.status(), rejection.body_text()),
            Self::Form(error) => (error.status(), error.body_text()),
            Self::Upstream(error) => {
                let timed_out = error.is_timeout();
                let status = if timed_out {
                    StatusCode::GATEWAY_TIMEOUT
                } else {
                    StatusCode::BAD_GATEWAY
                };
                (status, "the bank does not answer".to_owned())
            }
            Self::File(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        };
        (status, Json(json!({ "problem": problem }))).into_response()
    }
}

impl From<MultipartError> for Problem {
    fn from(error: MultipartError) -> Self {
        Self::Form(error)
    }
}

impl From<reqwest::Error> for Problem {
    fn from(error: reqwest::Error) -> Self {
        Self::Upstream(error)
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self::File(error)
    }
}

// Extractors.

/// Who may change the shop: the owner of the token.
#[derive(Debug)]
struct Owner;

impl<S: Sync> FromRequestParts<S> for Owner {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.headers.get(header::AUTHORIZATION) {
            Some(token) if token == "Bearer open-sesame" => Ok(Self),
            _ => Err(Problem::Unauthorized),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Draft {
    name: String,
    cents: u64,
}

impl<S: Send + Sync> FromRequest<S> for Draft {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let parsed = Json::<Self>::from_request(request, state).await;
        let Json(draft) = parsed.map_err(Problem::Json)?;
        match draft.name.trim() {
            "" => Err(Problem::Invalid("a product has a name")),
            _ => Ok(draft),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Filter {
    cents_max: Option<u64>,
    #[serde(default)]
    offset: usize,
}

// Products.

async fn list(State(shop): Shared, Query(filter): Query<Filter>) -> Json<Vec<Product>> {
    let products = shop.products();
    let max = filter.cents_max.unwrap_or(u64::MAX);
    let found = products.values().filter(|product| product.cents <= max);
    Json(found.skip(filter.offset).cloned().collect())
}

async fn create(State(shop): Shared, _: Owner, draft: Draft) -> impl IntoResponse {
    let id = shop.last.fetch_add(1, Ordering::Relaxed) + 1;
    let product = Product {
        id,
        name: draft.name,
        cents: draft.cents,
    };
    shop.products().insert(id, product.clone());
    // It fails if no browser listens.
    drop(shop.news.send(format!("new: {}", product.name)));
    let place = [(header::LOCATION, format!("/products/{id}"))];
    (StatusCode::CREATED, place, Json(product))
}

async fn read(State(shop): Shared, Path(id): Path<u64>) -> Result<Json<Product>, Problem> {
    shop.product(id).map(Json)
}

async fn remove(State(shop): Shared, _: Owner, Path(id): Path<u64>) -> Result<StatusCode, Problem> {
    let removed = shop.products().remove(&id);
    removed
        .map(|_| StatusCode::NO_CONTENT)
        .ok_or(Problem::NotFound)
}

/// All of them, line by line.
async fn export(State(shop): Shared) -> impl IntoResponse {
    let products: Vec<Product> = shop.products().values().cloned().collect();
    let lines = products.into_iter().map(|product| {
        Ok::<_, Infallible>(format!(
            "{};{};{}\n",
            product.id, product.name, product.cents
        ))
    });
    let fields = [
        (header::CONTENT_TYPE, "text/csv"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"products.csv\"",
        ),
    ];
    (fields, Body::from_stream(stream::iter(lines)))
}

/// A picture, written to its file as it arrives.
async fn photo(
    State(shop): Shared,
    Path(id): Path<u64>,
    _: Owner,
    mut form: Multipart,
) -> Result<(StatusCode, String), Problem> {
    shop.product(id)?;
    while let Some(mut field) = form.next_field().await? {
        if field.name() != Some("photo") {
            continue;
        }
        let mut file = tokio::fs::File::create(shop.photos.join(format!("{id}.png"))).await?;
        let mut len = 0;
        while let Some(piece) = field.chunk().await? {
            file.write_all(&piece).await?;
            len += piece.len();
        }
        file.flush().await?;
        return Ok((StatusCode::CREATED, format!("{len} bytes")));
    }
    Err(Problem::Invalid("the form has no photo"))
}

#[derive(Debug, Deserialize)]
struct Rate {
    per_hundred: u64,
}

/// The price in another currency, at the rate of a bank.
async fn price(
    State(shop): Shared,
    Path((id, currency)): Path<(u64, String)>,
) -> Result<Json<serde_json::Value>, Problem> {
    let product = shop.product(id)?;
    let place = format!("{}/{currency}", shop.rates);
    let response = shop.client.get(place).send().await?.error_for_status()?;
    let rate: Rate = response.json().await?;
    let cents = product.cents.saturating_mul(rate.per_hundred) / 100;
    Ok(Json(
        json!({ "id": id, "currency": currency, "cents": cents }),
    ))
}

// Orders.

#[derive(Debug, Deserialize)]
struct Order {
    product: u64,
    count: u64,
}

async fn order(
    State(shop): Shared,
    Form(order): Form<Order>,
) -> Result<impl IntoResponse, Problem> {
    let product = shop.product(order.product)?;
    let news = shop.news.clone();
    // The response does not wait for the parcel.
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(news.send(format!("sent: {} {}", order.count, product.name)));
    });
    let mut cookies = HeaderMap::new();
    for cookie in ["basket=; Max-Age=0", "customer=1; HttpOnly"] {
        cookies.append(header::SET_COOKIE, header::HeaderValue::from_static(cookie));
    }
    Ok((cookies, Redirect::to("/thanks")))
}

/// What happens in the shop, as it happens.
async fn news(State(shop): Shared) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let news = stream::unfold(shop.news.subscribe(), async |mut news| {
        let text = news.recv().await.ok()?;
        Some((Ok(Event::default().event("news").data(text)), news))
    });
    Sse::new(news).keep_alive(KeepAlive::default())
}

// Around all of it.

/// Counts up, so that responses can be told apart.
#[derive(Clone, Debug, Default)]
struct Count(Arc<AtomicU64>);

impl MakeRequestId for Count {
    fn make_request_id<B>(&mut self, _: &HttpRequest<B>) -> Option<RequestId> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        Some(RequestId::new(number.into()))
    }
}

async fn mark(method: Method, uri: Uri, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let name = HeaderName::from_static("x-served");
    if let Ok(value) = format!("{method} {}", uri.path()).parse() {
        response.headers_mut().insert(name, value);
    }
    response
}

async fn whoami(Extension(id): Extension<RequestId>) -> String {
    id.header_value().to_str().unwrap_or_default().to_owned()
}

#[expect(clippy::panic, reason = "the layer for it is shown")]
async fn broken() -> &'static str {
    panic!("this page is broken")
}

pub(crate) fn router(rates: String, photos: PathBuf) -> Router {
    let product = get(read).delete(remove);
    let products = Router::new()
        .route("/", get(list).post(create))
        .route("/{id}", product)
        .route("/{id}/price/{currency}", get(price))
        .route("/{id}/photo", post(photo))
        .layer(DefaultBodyLimit::max(PHOTO_LEN_MAX));
    let pages = Router::new()
        .route("/", get(async || Html("<h1>Shop</h1>\n")))
        .route("/thanks", get(async || Html("<p>Thank you.</p>\n")))
        .route("/whoami", get(whoami))
        .route("/broken", get(broken));
    let shop = Shop {
        products: Mutex::default(),
        last: AtomicU64::default(),
        news: broadcast::channel(16).0,
        client: reqwest::Client::new(),
        rates,
        photos: photos.clone(),
    };
    Router::new()
        .nest("/products", products)
        .merge(pages)
        .route("/export", get(export))
        .route("/orders", post(order))
        .route("/news", get(news))
        .nest_service("/photos", ServeDir::new(photos))
        .fallback(async || Problem::NotFound)
        .layer(middleware::from_fn(mark))
        .layer(CatchPanicLayer::new())
        .layer(CompressionLayer::new())
        .layer(CorsLayer::permissive())
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(Count::default()))
        .layer(TraceLayer::new_for_http())
        .with_state(Arc::new(shop))
}

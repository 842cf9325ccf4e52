//! The router alone: a path that it knows and one that it does not know, among ten routes and among a thousand.
//!
//! `cargo bench --bench router` compares times with the last run on this machine (criterion keeps them in `target/criterion`). A
//! thousand routes may take 1.3 times what ten take, and a miss what a hit takes. Ours also makes the response; `matchit`, which
//! axum finds its routes with, only finds the value of one.

#![expect(clippy::expect_used, reason = "benchmarks may panic")]

use std::cell::OnceCell;
use std::hint::black_box;

use coldstart::message::OwnedRequest;
use coldstart::{Handler as _, Router, TestRequest};
use criterion::{BenchmarkId, Criterion};

const COUNTS: [usize; 2] = [10, 1_000];

/// Ten routes to a service, each with a parameter.
fn patterns(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("/service-{}/things-{}/{{id}}", number / 10, number % 10))
}

/// In the last service a path of the sixth route, and one of none.
fn paths(count: usize) -> [(&'static str, String); 2] {
    let service = count / 10 - 1;
    [
        ("hit", format!("/service-{service}/things-5/42")),
        ("miss", format!("/service-{service}/nothing/42")),
    ]
}

/// A request to keep, as a handler gets it.
fn request(path: &str) -> OwnedRequest {
    let kept = OnceCell::new();
    let response = TestRequest::get(path).run(|request| {
        let is_first = kept.set(request.to_owned()).is_ok();
        assert!(is_first, "one request is one call");
        "ok"
    });
    assert_eq!(response.status(), 200, "{path}");
    kept.into_inner().expect("the handler was called")
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("router");
    for count in COUNTS {
        let mut ours = Router::new();
        let mut theirs = matchit::Router::new();
        for pattern in patterns(count) {
            theirs.insert(&pattern, "ok").expect("a new pattern");
            ours = ours.get(&pattern, |_| "ok");
        }
        for (name, path) in paths(count) {
            let request = request(&path);
            let is_found = theirs.at(&path).is_ok();
            assert_eq!(is_found, name == "hit", "{path}");
            let status = TestRequest::get(&path).run_handler(&mut ours).status();
            assert_eq!(status == 200, is_found, "{path}");
            group.bench_function(
                BenchmarkId::new(format!("coldstart {name}"), count),
                |bencher| {
                    bencher.iter(|| ours.accept_whole(black_box(&request.as_request())));
                },
            );
            group.bench_function(
                BenchmarkId::new(format!("matchit {name}"), count),
                |bencher| bencher.iter(|| theirs.at(black_box(&path)).is_ok()),
            );
        }
    }
    group.finish();
    criterion.final_summary();
}

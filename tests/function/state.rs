//! State that the initializer makes, or else the first call that needs it (contract §4).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use coldstart::function::{FunctionError, State};
use coldstart::{Function, Handler, Router, TestRequest, yield_now};

/// Counts its calls. The first one fails, the second panics, the third yields its number.
fn make(count: &AtomicU32) -> Result<String, FunctionError> {
    match count.fetch_add(1, Ordering::Relaxed) {
        0 => Err(FunctionError::new("no database").error_type("Down")),
        1 => panic!("the state's panic"),
        number => Ok(number.to_string()),
    }
}

fn asks(handler: &mut impl Handler, path: &str) -> (u16, Option<String>, String) {
    let method = if path == "/http" { "GET" } else { "POST" };
    let response = TestRequest::new(method, path).run_handler(handler);
    let outcome = response.header("x-fc-status").map(str::to_owned);
    (response.status().code(), outcome, response.text())
}

/// Calls in order, of which the first two fail.
const ORDERS: [[&str; 4]; 4] = [
    ["/initialize", "/initialize", "/initialize", "/http"],
    ["/http", "/invoke", "/initialize", "/invoke"],
    ["/http", "/invoke", "/http", "/initialize"],
    ["/invoke", "/initialize", "/invoke", "/http"],
];

/// The third call makes the state, which the fourth one finds.
fn check_order(handler: &mut impl Handler, count: &AtomicU32, order: [&str; 4]) {
    for (place, path) in order.into_iter().enumerate() {
        let (status, outcome, text) = asks(handler, path);
        if place < 2 {
            let failure = if path == "/http" { 500 } else { 404 };
            assert_eq!(status, failure, "{order:?} {place}: {text}");
            assert_eq!(outcome.as_deref(), Some("404"), "{order:?} {place}");
            let is_told = place == 0 && path != "/http";
            assert_eq!(text.contains("no database"), is_told, "{order:?}: {text}");
        } else {
            assert_eq!(status, 200, "{order:?} {place}: {text}");
            let expected = if path == "/initialize" { "" } else { "2" };
            assert_eq!(text, expected, "{order:?} {place}");
        }
    }
    assert_eq!(count.load(Ordering::Relaxed), 3, "{order:?}");
}

#[test]
fn a_state_is_made_once_by_the_initializer_or_by_the_first_call_that_needs_it() {
    for order in ORDERS {
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        let state = State::new(move || make(&counted));
        let of_event = state.clone();
        let router = Router::new().with_state(state.clone());
        let router = router.get("/http", |_, state| {
            Ok::<_, FunctionError>(state.get()?.clone())
        });
        let function = Function::new().initializer_state(&state);
        let function = function.event(move |_, _| Ok(of_event.get()?.clone()));
        let mut handler = function.http_handler(router).handler();
        assert!(format!("{state:?}").contains("is_made: false"));
        check_order(&mut handler, &count, order);
        assert!(format!("{state:?}").contains("is_made: true"));
    }
}

#[test]
fn an_async_state_is_made_once_by_the_initializer_or_by_the_first_call_that_needs_it() {
    for order in ORDERS {
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        let state = State::new(move || {
            let counted = Arc::clone(&counted);
            async move {
                yield_now().await;
                make(&counted)
            }
        });
        let of_event = state.clone();
        let router = Router::new().with_state(state.clone());
        let router = router.get("/http", |_, state| async move {
            Ok::<_, FunctionError>(state.get().await?.clone())
        });
        let function = Function::new().initializer_state(&state);
        let function = function.event(move |_, _| {
            let state = of_event.clone();
            async move { Ok(state.get().await?.clone()) }
        });
        let mut handler = function.http_handler(router).handler();
        check_order(&mut handler, &count, order);
    }
}

#[test]
fn threads_that_need_a_state_at_once_share_one() {
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let state = State::new(move || Ok(counted.fetch_add(1, Ordering::Relaxed)));
    let together = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                together.wait();
                assert_eq!(*state.get().unwrap(), 0);
            });
        }
    });
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

//! Runs the corpus and the regressions of each fuzz target, without a fuzzer.

#[path = "support/corpus.rs"]
mod corpus;

use coldstart::sim::{
    check_chunked, check_connection, check_context, check_environment, check_head, check_response,
    check_simulation,
};
use corpus::run;

#[test]
fn the_corpus_of_connections_holds() {
    run("connection", check_connection);
}

#[test]
fn the_corpus_of_heads_holds() {
    run("head", check_head);
}

#[test]
fn the_corpus_of_chunked_bodies_holds() {
    run("chunked", check_chunked);
}

#[test]
fn the_corpus_of_responses_holds() {
    run("response", check_response);
}

#[test]
fn the_corpus_of_simulations_holds() {
    run("simulation", check_simulation);
}

#[test]
fn the_corpus_of_environments_holds() {
    run("environment", check_environment);
}

#[test]
fn the_corpus_of_contexts_holds() {
    run("context", check_context);
}

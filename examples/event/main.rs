//! A function for events: takes an order as JSON and returns its total. Deploy it with the `s.yaml` next to it.
//!
//! ```console
//! $ cargo run --example event --features json
//! $ curl localhost:9000/invoke --json '{"customer":"Ada","items":[{"price_cents":250,"count":2}]}'
//! {"customer":"Ada","total_cents":500}
//! $ curl localhost:9000/invoke --json '{"customer":"Ada","items":[]}'
//! {"errorMessage":"an order has at least one item","errorType":"EmptyOrder","stackTrace":[]}
//! ```

use std::process::ExitCode;

use coldstart::function::FunctionError;
use coldstart::{Context, Function};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Order {
    customer: String,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    price_cents: u64,
    count: u64,
}

#[derive(Serialize)]
struct Total {
    customer: String,
    total_cents: u64,
}

fn total(context: &Context<'_>, order: Order) -> Result<Total, FunctionError> {
    if order.items.is_empty() {
        return Err(FunctionError::new("an order has at least one item").error_type("EmptyOrder"));
    }
    let total_cents = order.items.iter().try_fold(0_u64, |total, item| {
        total.checked_add(item.price_cents.checked_mul(item.count)?)
    });
    let total_cents = total_cents
        .ok_or_else(|| FunctionError::new("the total is too large").error_type("TotalTooLarge"))?;
    context.log(format_args!(
        "{} items for {total_cents}",
        order.items.len()
    ));
    Ok(Total {
        customer: order.customer,
        total_cents,
    })
}

fn main() -> ExitCode {
    Function::new().event_json(total).run()
}

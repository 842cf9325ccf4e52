//! The report: targets, charts and tables from the result files.

pub(crate) mod axum;
pub(crate) mod bill;
pub(crate) mod bounds;
pub(crate) mod chart;
pub(crate) mod figures;
pub(crate) mod kind;
pub(crate) mod readme;
pub(crate) mod results;
pub(crate) mod sheet;
pub(crate) mod unit;

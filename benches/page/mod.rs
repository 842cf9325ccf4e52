//! What the page of the measurements is made of: results, bounds, charts.

pub(crate) mod bounds;
pub(crate) mod chart;
pub(crate) mod figures;
pub(crate) mod readme;
pub(crate) mod results;
pub(crate) mod sheet;

//! What the lab's owner may order to go wrong.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    net::fault::{FaultSpec, Faults},
    services,
};

/// An order about faults.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub(crate) enum Order {
    /// Set one; answers its number.
    Add { fault: Box<FaultSpec> },
    /// Those that are set.
    List,
    /// Remove one, or all; answers how many there were.
    Clear { id: Option<u64> },
}

/// Carries out an order.
pub(crate) fn perform(order: Order, faults: &Faults) -> Result<Value, String> {
    match order {
        Order::Add { fault } => {
            services::check_fault(&fault)?;
            faults.add(*fault).map(Value::from)
        }
        Order::List => serde_json::to_value(faults.list()).map_err(|error| error.to_string()),
        Order::Clear { id } => match (faults.clear(id), id) {
            (0, Some(id)) => Err(format!("there is no fault number {id}; `portico fault list` shows what there is")),
            (count, _) => Ok(count.into()),
        },
    }
}

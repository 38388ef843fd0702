//! Listeners that authenticate their clients.

mod sasl;

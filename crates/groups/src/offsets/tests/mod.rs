//! Offsets from commit to expiry: scripts, whose traces say what is answered and written.

mod commit;
mod delete;
mod driver;
mod expire;
mod fetch;
mod groups;
mod transactions;

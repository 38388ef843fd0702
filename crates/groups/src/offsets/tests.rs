//! Offsets from commit to expiry.

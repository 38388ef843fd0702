//! Records there and back, and bytes that are none.

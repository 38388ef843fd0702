//! Definitions of configuration properties: one definition serves file, environment, describe,
//! validation and documentation.

//! The client of the transactions' coordinators, as a trait that tests replace.

use std::fmt::Debug;
use std::sync::Arc;

use dohle_coordinator::transactions::{TransactionVerifier, VerifyRequest};
use dohle_model::ErrorCode;
use futures::future::BoxFuture;
use tokio::time::Instant;

/// Asks the coordinators of transactions.
pub trait VerifyTransactions: Debug + Send + Sync {
    /// Returns the outcome for each partition, in the order of the request.
    fn verify(
        &self,
        request: VerifyRequest,
        deadline: Instant,
    ) -> BoxFuture<'static, Vec<Result<(), ErrorCode>>>;
}

impl VerifyTransactions for Arc<TransactionVerifier> {
    fn verify(
        &self,
        request: VerifyRequest,
        deadline: Instant,
    ) -> BoxFuture<'static, Vec<Result<(), ErrorCode>>> {
        let verifier = Arc::clone(self);
        Box::pin(async move { TransactionVerifier::verify(&verifier, request, deadline).await })
    }
}

use crate::backend;

/// Work that a service is at: while one lives, the system does not end the service because it is idle.
///
/// A service has one by itself from the receipt of a message until its reply is sent, or, where the message awaits none,
/// until it is dropped. This is for work that goes on after that. A service that was told to end
/// ([`Inactive::on_termination_imminent`](crate::Inactive::on_termination_imminent)) ends with its last transaction. In
/// an app it does nothing.
#[doc(alias = "xpc_transaction_begin")]
#[doc(alias = "xpc_transaction_end")]
#[must_use = "a transaction ends when it is dropped"]
#[derive(Debug)]
pub struct Transaction(backend::Transaction);

impl Transaction {
    /// Opens a transaction.
    pub fn begin() -> Self {
        Self(backend::Transaction::begin())
    }
}

use super::raw::{xpc_transaction_begin, xpc_transaction_end};

#[derive(Debug)]
pub(crate) struct Transaction(());

impl Transaction {
    pub(crate) fn begin() -> Self {
        // SAFETY: takes nothing; the drop balances it.
        unsafe { xpc_transaction_begin() };
        Self(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // SAFETY: balances `begin`, once.
        unsafe { xpc_transaction_end() };
    }
}

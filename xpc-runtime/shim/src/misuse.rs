//! What happens to whoever breaks a rule.

/// Says which rule was broken, and aborts, as libxpc does.
pub(crate) fn misuse(rule: std::fmt::Arguments<'_>) -> ! {
    eprintln!("libxpc-shim: API misuse: {rule}");
    std::process::abort();
}

macro_rules! misuse {
    ($($rule:tt)*) => { $crate::misuse::misuse(format_args!($($rule)*)) };
}

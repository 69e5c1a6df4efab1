
# `cargo xpc …`: what is asked of `cargo` goes to whatever completed it before, unless `xpc` is its subcommand.
if declare -F _comp_load >/dev/null; then
    _comp_load cargo
elif declare -F _completion_loader >/dev/null; then
    _completion_loader cargo
fi
if [[ "$(complete -p cargo 2>/dev/null)" =~ \ -F\ ([^ ]+) && "${BASH_REMATCH[1]}" != _cargo_xpc_below_cargo ]]; then
    _cargo_xpc_before="${BASH_REMATCH[1]}"
fi

_cargo_xpc_below_cargo() {
    local at=1
    [[ "${COMP_WORDS[1]}" == +* ]] && at=2
    if [[ "${COMP_WORDS[at]}" == xpc && "$COMP_CWORD" -gt "$at" ]]; then
        COMP_WORDS=(cargo-xpc "${COMP_WORDS[@]:at+1}")
        COMP_CWORD=$((COMP_CWORD - at))
        _cargo_xpc cargo-xpc "$2" "$3"
    elif [[ -n "${_cargo_xpc_before:-}" ]]; then
        "$_cargo_xpc_before" "$@"
    fi
}

complete -F _cargo_xpc_below_cargo -o bashdefault -o default cargo

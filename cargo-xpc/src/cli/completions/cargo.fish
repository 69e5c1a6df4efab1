
# `cargo xpc …` is completed as `cargo-xpc …` is.
complete -c cargo -n '__fish_seen_subcommand_from xpc' -f -a '(__fish_cargo_xpc_below_cargo)'
function __fish_cargo_xpc_below_cargo
    set -l words (commandline -opc)
    set -l at (contains -i -- xpc $words)
    or return
    complete -C "cargo-xpc "(string join ' ' -- (string escape -- $words[(math $at + 1)..-1]) (commandline -ct))
end

#compdef cosmos
# Completion of cosmos for zsh, made by `cosmos completions zsh`.
#
# What is offered is printed by `cosmos __complete`, a line each: a text, a tab, what it is.
# Nothing of it is expanded or run here.

_cosmos() {
    local line text about files=
    local -a typed plain open

    typed=("${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}")
    while IFS= read -r line; do
        text=${line%%$'\t'*}
        about=${line#*$'\t'}
        case $text in
            :files) files=yes ;;
            *[=:,]) open+=("${text//:/\\:}:$about") ;;
            ?*) plain+=("${text//:/\\:}:$about") ;;
        esac
    done < <(command cosmos __complete zsh -- "${(@)typed}" 2>/dev/null)

    local found=1
    (( $#plain )) && _describe -V cosmos plain && found=0
    # More is to be typed behind these.
    (( $#open )) && _describe -V cosmos open -S '' && found=0
    if [[ -n $files ]]; then
        [[ $PREFIX == --*=* ]] && compset -P '*='
        _files && found=0
    fi
    return found
}

# Found in fpath, this file is the function's body; read by `source`, it is not.
if [[ ${funcstack[1]} == _cosmos ]]; then
    _cosmos "$@"
elif (( $+functions[compdef] )); then
    compdef _cosmos cosmos
fi

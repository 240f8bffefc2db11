# Completion of cosmos for bash, made by `cosmos completions bash`.
#
# What is offered is printed by `cosmos __complete`, a line each, and is put in as it is:
# nothing of it is expanded or run here.

_cosmos() {
    local -a words
    local index word line rest typed='' number=-1
    COMPREPLY=()

    # Bash cuts words at `=` and `:`. What no blank is between belongs together.
    line=${COMP_LINE-}
    line=${line:0:${COMP_POINT:-${#line}}}
    for ((index = 0; index <= COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]-}
        if [[ -n ${COMP_LINE-} ]]; then
            rest=${line#"${line%%[![:space:]]*}"}
            [[ $rest != "$line" || index -eq 0 ]] && ((number++))
            # Of the last word, what is before the cursor.
            ((index == COMP_CWORD)) && word=$rest
            line=${rest#"$word"}
        elif [[ $index -eq 0 || ($word != [=:]* && ${words[number]} != *[=:]) ]]; then
            ((number++))
        fi
        words[number]=${words[number]-}$word
    done
    # What bash takes for the word is behind the last cut.
    case $word in
        '' | [=:] | [=:][=:]*) typed=${words[number]} ;;
        *) typed=${words[number]%"$word"} ;;
    esac

    while IFS= read -r line; do
        case $line in
            :files)
                if ! compopt -o default 2>/dev/null; then
                    while IFS= read -r line; do
                        COMPREPLY+=("$line")
                    done < <(compgen -f -- "$word")
                fi
                ;;
            "$typed"*) COMPREPLY+=("${line#"$typed"}") ;;
        esac
    done < <(command cosmos __complete bash -- "${words[@]}" 2>/dev/null)

    # More is to be typed behind these.
    case ${COMPREPLY[0]-} in
        *[=:,]) compopt -o nospace 2>/dev/null ;;
    esac
    return 0
}

complete -F _cosmos cosmos

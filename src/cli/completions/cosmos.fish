# Completion of cosmos for fish, made by `cosmos completions fish`.
#
# What is offered is printed by `cosmos __complete`, a line each: a text, a tab, what it is.
# Nothing of it is expanded or run here.

function __cosmos_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l typed (commandline --current-token --cut-at-cursor)
    for line in (command cosmos __complete fish -- $words "$typed" 2>/dev/null)
        switch $line
            case ':files*'
                # Behind an option and its `=` it is only the rest that is a file.
                set -l before (string match --regex -- '^--[^=]*=' "$typed")
                for file in (__fish_complete_path (string replace -- "$before" '' "$typed"))
                    printf '%s\n' "$before$file"
                end
            case '*'
                printf '%s\n' $line
        end
    end
end

complete --command cosmos --no-files --keep-order --arguments '(__cosmos_complete)'

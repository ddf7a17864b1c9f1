# Completions of aerostack for GNU bash 4.4 and newer.

# The program gets the line as it stands up to the cursor, and the part of it that readline
# will replace: bash's own words end at ':' and '='.
_aerostack() {
    COMPREPLY=()
    mapfile -t COMPREPLY < <(_AEROSTACK_COMPLETE=bash aerostack -- "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
    # A folder and the front of an option's value go on without a blank.
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/] ]]; then
        compopt -o nospace
    fi
}

complete -o bashdefault -o nosort -F _aerostack aerostack

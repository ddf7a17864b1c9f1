
set edit:completion:arg-completer[aerostack] = { |@words|
    var index = (count $words)
    set index = (- $index 1)

    put (env _CLAP_IFS="\n" _CLAP_COMPLETE_INDEX=(to-string $index) _AEROSTACK_COMPLETE="elvish" aerostack -- $@words) | to-lines
}

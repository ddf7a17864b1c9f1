complete --keep-order --exclusive --command aerostack --arguments "(_AEROSTACK_COMPLETE=fish aerostack -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"

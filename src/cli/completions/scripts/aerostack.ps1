# Completions of aerostack for PowerShell.

Register-ArgumentCompleter -Native -CommandName aerostack -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    # The words as they stand: nothing of the line is run.
    $words = @($commandAst.CommandElements |
        Where-Object { $_.Extent.StartOffset -lt $cursorPosition } |
        ForEach-Object {
            if ($_ -is [System.Management.Automation.Language.StringConstantExpressionAst]) {
                $_.Value
            } else {
                $_.Extent.Text
            }
        })
    # An empty last word would get lost on the way to the program, its number does not.
    $at = $words.Count
    if ($wordToComplete -ne '') {
        $at = $at - 1
        $words[$at] = $wordToComplete
    }

    $shell = $env:_AEROSTACK_COMPLETE
    $index = $env:_CLAP_COMPLETE_INDEX
    try {
        $env:_AEROSTACK_COMPLETE = 'powershell'
        $env:_CLAP_COMPLETE_INDEX = "$at"
        $answer = & aerostack '--' @words 2>$null
    } finally {
        $env:_AEROSTACK_COMPLETE = $shell
        $env:_CLAP_COMPLETE_INDEX = $index
    }
    $answer | Where-Object { $_ } | ForEach-Object {
        $value, $help = $_ -split "`t", 2
        if (-not $help) { $help = $value }
        [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $help)
    }
}

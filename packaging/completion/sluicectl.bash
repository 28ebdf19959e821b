# bash completion for sluicectl. The program itself knows its verbs and options, and asks sluiced for names.
_sluicectl() {
  local word=${COMP_WORDS[COMP_CWORD]}
  local IFS=$'\n'
  mapfile -t COMPREPLY < <(sluicectl __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  # IPv6 addresses: readline takes a colon for the end of a word.
  if [[ $word == *:* ]] && declare -F __ltrim_colon_completions >/dev/null; then
    __ltrim_colon_completions "$word"
  fi
  if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then
    compopt -o nospace
  fi
}
complete -o default -F _sluicectl sluicectl

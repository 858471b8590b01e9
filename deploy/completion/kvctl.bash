# bash completion for kvctl
_kvctl() {
  local current=${COMP_WORDS[COMP_CWORD]} word command= sub=
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in
      -*) ;;
      get | put | append | delete | cas | incr | scan | import | export | status | store | group | shard | config | op | setting | explain | top | member | verify | recover | shell) [ -n "$command" ] || command=$word ;;
      *) [ -n "$command" ] && [ -z "$sub" ] && sub=$word ;;
    esac
  done
  local global="--connect --timeout-ms --output --hex --help --version"
  case $command in
    "") COMPREPLY=($(compgen -W "get put append delete cas incr scan import export status store group shard config op setting explain top member verify recover shell $global" -- "$current")) ;;
    store) COMPREPLY=($(compgen -W "list show drain undrain remove label" -- "$current")) ;;
    group) COMPREPLY=($(compgen -W "list show" -- "$current")) ;;
    shard) COMPREPLY=($(compgen -W "list show move split merge scatter" -- "$current")) ;;
    config) COMPREPLY=($(compgen -W "list show" -- "$current")) ;;
    op) COMPREPLY=($(compgen -W "list show cancel" -- "$current")) ;;
    setting) COMPREPLY=($(compgen -W "list set" -- "$current")) ;;
    explain) COMPREPLY=($(compgen -W "shard" -- "$current")) ;;
    top) COMPREPLY=($(compgen -W "--every --times" -- "$current")) ;;
    member) COMPREPLY=($(compgen -W "list add remove replace transfer" -- "$current")) ;;
    recover) COMPREPLY=($(compgen -W "--plan --group --store --at --gone --yes" -- "$current")) ;;
    get) COMPREPLY=($(compgen -W "--stale --at --version" -- "$current")) ;;
    put) [[ $current == -* ]] && COMPREPLY=($(compgen -W "--file --ttl-ms --if-absent --if-version" -- "$current")) || COMPREPLY=($(compgen -f -- "$current")) ;;
    append) COMPREPLY=($(compgen -W "--file" -- "$current")) ;;
    delete) COMPREPLY=($(compgen -W "--prefix --range" -- "$current")) ;;
    scan) COMPREPLY=($(compgen -W "--start --end --limit --at --reverse --keys-only --count --stale" -- "$current")) ;;
    import) [[ $current == -* ]] && COMPREPLY=($(compgen -W "--format --resume --window" -- "$current")) || COMPREPLY=($(compgen -f -- "$current")) ;;
    export) [[ $current == -* ]] && COMPREPLY=($(compgen -W "--prefix --format --resume" -- "$current")) || COMPREPLY=($(compgen -f -- "$current")) ;;
  esac
}
complete -F _kvctl kvctl

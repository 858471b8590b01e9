# fish completion for kvctl
set -l commands get put append delete cas incr scan import export status store group shard config op setting explain top member verify recover shell
complete -c kvctl -f
complete -c kvctl -n "not __fish_seen_subcommand_from $commands" -a "$commands"
complete -c kvctl -l connect -x -d "HOST:PORT of any stores"
complete -c kvctl -l timeout-ms -x -d "How long a command may take"
complete -c kvctl -s o -l output -x -a "text json" -d "Output format"
complete -c kvctl -l hex -d "Keys and values are hexadecimal"
complete -c kvctl -n "__fish_seen_subcommand_from store" -a "list show drain undrain remove label"
complete -c kvctl -n "__fish_seen_subcommand_from group" -a "list show"
complete -c kvctl -n "__fish_seen_subcommand_from shard" -a "list show move split merge scatter"
complete -c kvctl -n "__fish_seen_subcommand_from config" -a "list show"
complete -c kvctl -n "__fish_seen_subcommand_from op" -a "list show cancel"
complete -c kvctl -n "__fish_seen_subcommand_from setting" -a "list set"
complete -c kvctl -n "__fish_seen_subcommand_from explain" -a "shard"
complete -c kvctl -n "__fish_seen_subcommand_from top" -l every -l times -x
complete -c kvctl -n "__fish_seen_subcommand_from member" -a "list add remove replace transfer"
complete -c kvctl -n "__fish_seen_subcommand_from recover" -l group -l store -l at -l gone -x
complete -c kvctl -n "__fish_seen_subcommand_from recover" -l plan -l yes
complete -c kvctl -n "__fish_seen_subcommand_from get scan" -l stale -d "Any replica may answer"
complete -c kvctl -n "__fish_seen_subcommand_from get scan" -l at -x -d "As of this timestamp"
complete -c kvctl -n "__fish_seen_subcommand_from put append" -l file -r -d "Value from this file"
complete -c kvctl -n "__fish_seen_subcommand_from put" -l ttl-ms -x -d "Until it expires"
complete -c kvctl -n "__fish_seen_subcommand_from put" -l if-absent -d "Only if the key does not exist"
complete -c kvctl -n "__fish_seen_subcommand_from scan" -l start -l end -l limit -x
complete -c kvctl -n "__fish_seen_subcommand_from scan" -l reverse -l keys-only -l count
complete -c kvctl -n "__fish_seen_subcommand_from import export" -F
complete -c kvctl -n "__fish_seen_subcommand_from import export" -l format -x -a "json raw"
complete -c kvctl -n "__fish_seen_subcommand_from import export" -l resume -d "Go on where it stopped"

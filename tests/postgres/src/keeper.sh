# Keeps a PostgreSQL server until its standard input ends: keeper FOLDER PROGRAMS USER SETTING...
# Commands, a line each, answered by `done`: start, kill.
trap '' HUP INT TERM
folder=$1 programs=$2 user=$3
shift 3
as() { if [ -n "$user" ]; then setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@"; else "$@"; fi; }
options="-c listen_addresses='' -c unix_socket_directories='$folder' -c max_connections=300"
for setting; do options="$options -c $setting"; done
log=$folder/log
cd "$folder" || exit 1
while read -r command; do
    case $command in
    start)
        [ -d "$folder/data" ] ||
            as "$programs/initdb" --no-sync --auth=trust --username=meridian --encoding=UTF8 --locale=C "$folder/data" >"$log" 2>&1 </dev/null &&
            as "$programs/pg_ctl" --pgdata="$folder/data" --log="$folder/data/log" --wait --options="$options" start >>"$log" 2>&1 </dev/null
        ;;
    kill) as "$programs/pg_ctl" --pgdata="$folder/data" --mode=immediate --wait stop >>"$log" 2>&1 </dev/null ;;
    esac && echo done || { echo failed; cat "$log" "$folder/data/log" >&2; }
done
as "$programs/pg_ctl" --pgdata="$folder/data" --mode=immediate --wait stop >/dev/null 2>&1 </dev/null
rm -rf "$folder"

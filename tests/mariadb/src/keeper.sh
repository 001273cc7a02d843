# Keeps a MariaDB server until its standard input ends: keeper FOLDER PROGRAMS USER SETTING...
# Commands, a line each, answered by `done`: start, kill.
trap '' HUP INT TERM
folder=$1 programs=$2 user=$3
shift 3
as() {
    # With `exec` in front the program takes the place of the shell, so that it is what is killed.
    exec=
    if [ "$1" = exec ]; then exec=exec && shift; fi
    if [ -n "$user" ]; then $exec setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@"; else $exec "$@"; fi
}
for setting; do set -- "$@" "--$setting"; shift; done
log=$folder/log
server=
cd "$folder" || exit 1
# Two that are installed at once get in each other's way in a folder for all.
as mkdir -p "$folder/temporary" && export TMPDIR="$folder/temporary"
install() {
    [ -d "$folder/data/mysql" ] && return
    as "$programs/mariadb-install-db" --no-defaults --datadir="$folder/data" --auth-root-authentication-method=normal \
        --skip-test-db >"$log" 2>&1 </dev/null
}
start() {
    as exec mariadbd --no-defaults --datadir="$folder/data" --socket="$folder/socket" --pid-file="$folder/pid" \
        --skip-networking --skip-log-bin --max-connections=300 --innodb-buffer-pool-size=64M "$@" >>"$log" 2>&1 </dev/null &
    server=$!
    for _ in $(seq 300); do
        "$programs/mariadb-admin" --no-defaults --socket="$folder/socket" --user=root ping >/dev/null 2>&1 && return
        kill -0 "$server" 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}
stop() { if [ -n "$server" ]; then kill -9 "$server" 2>/dev/null; wait "$server" 2>/dev/null; server=; fi; }
while read -r command; do
    case $command in
    start) install && start "$@" ;;
    kill) stop ;;
    esac && echo done || { echo failed; cat "$log" >&2; }
done
stop
rm -rf "$folder"

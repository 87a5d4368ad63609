# Runs one program for a test process and ends it when that process ends, however it ends.
# Standard input is a pipe held by the test process: the kernel closes it even after kill -9.
#
# $1    signals to stop the program with, in order, the last one certain ("TERM KILL")
# $2    file for the program's output
# $3    directory to remove at the end, or empty
# $4..  the program
#
# Says two lines: the program's pid, then (when it has ended) its exit status, 128 + n for signal n.
signals=$1 log=$2 directory=$3
shift 3
exec 3<&0 </dev/null

"$@" >>"$log" 2>&1 3<&- &
child=$!
trap '' PIPE
echo "$child"

(
    read -r word <&3
    for signal in $signals; do
        kill -s "$signal" "$child" 2>/dev/null || exit 0
        patience=100
        while [ "$patience" -gt 0 ] && kill -0 "$child" 2>/dev/null; do
            sleep 0.05
            patience=$((patience - 1))
        done
    done
) >/dev/null &
watcher=$!

wait "$child"
status=$?
kill "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
echo "$status" 2>/dev/null

[ -n "$directory" ] || exit 0
read -r word <&3
[ "$word" = keep ] || rm -rf -- "$directory"

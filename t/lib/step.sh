# Sourced by quickstart and the scripts in t/: one line for each step that may take long.
# shellcheck shell=bash

# step LOG TITLE COMMAND...: runs the command with its output in LOG, a dot every two seconds and the time it took. When it
# fails, shows the end of LOG and returns its status. The command stands in the foreground, so that Ctrl-C reaches it.
step() {
	local log=$1 title=$2 start=$SECONDS ticker status=0
	shift 2
	printf '  %-26s' "$title"
	while sleep 2 >/dev/null && kill -0 $$; do printf .; done 2>/dev/null 8>&- 9>&- &
	ticker=$!
	"$@" >>"$log" 2>&1 || status=$?
	kill "$ticker" 2>/dev/null || true
	wait "$ticker" 2>/dev/null || true
	if ((status == 0)); then
		printf ' %d s\n' $((SECONDS - start))
	else
		printf ' failed; the end of %s:\n' "$log"
		tail -n 40 "$log" >&2
	fi
	return $status
}

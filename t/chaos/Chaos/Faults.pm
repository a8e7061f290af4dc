# The classes of faults. Each is a list of actions; a round of a class is one action after another, chosen by chance, until
# its time is over. An action does one thing and undoes it; what a whole round needs stands in before and after.
package Chaos::Faults;

use strict;
use warnings;

use Exporter qw(import);
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(@classes %mutants run_round class_names);

# rest: seconds between two actions, at most. exempt: claims that do not hold in this class, because fences themselves are thrown
# away in it; counted all the same.
our @classes = (
    { name => 'none', rest => 1, actions => [ sub { $_[0]->pause(1) } ] },
    { name => 'kill', rest => 0.6, actions => [ (\&kill_process) x 3, (\&kill_at_point) x 4, \&kill_master ], after => \&revive },
    { name => 'stop', rest => 0.4, actions => [ (\&stop_process) x 4, \&stop_steward, \&stop_host ] },
    { name => 'stop-servers', rest => 1.5, actions => [ (\&stop_redis) x 2, \&stop_mariadb ] },
    { name => 'redis-restart', rest => 2.5, before => \&save_redis, actions => [ \&restart_redis_empty, \&restart_redis_old ] },
    { name => 'redis-flush', rest => 0.3, actions => [ (\&flush) x 4, \&flush_storm, \&flush_scripts ], exempt => ['C2'] },
    { name => 'eviction', rest => 0.1, before => \&make_small, actions => [ \&fill_with_junk, \&evict_hot ], after => \&make_large, exempt => ['C2'] },
    { name => 'failover', rest => 0.5, before => sub { $_[0]->start_spare },
        actions => [ (\&failover) x 2, \&demote_unseen, \&demote_redis, \&move_database ], after => sub { $_[0]->stop_spare } },
    { name => 'late', rest => 0.1, actions => [ \&late_and_flushed ], after => \&mend_lines, exempt => ['C2'] },
    { name => 'asleep', rest => 0.05, actions => [ \&stopped_at_points ], exempt => ['C2'] },
    { name => 'asleep-fenced', rest => 0.05, actions => [ \&stopped_before_commit ], exempt => ['C2'] },
    { name => 'redis-line', rest => 0.6, actions => [ \&slow_redis_line, (\&bad_redis_line) x 3, (\&cut_off_redis) x 2 ], after => \&mend_lines },
    { name => 'redis-blip', rest => 1, actions => [ \&blip ], after => \&mend_lines },
    { name => 'redis-cut', rest => 1, actions => [ \&cut_off_for_a_while ], after => \&mend_lines },
    { name => 'mariadb-kill', rest => 2, actions => [ \&kill_mariadb ] },
    { name => 'commit', rest => 0.3, actions => [ (\&spoil_commits) x 3, \&kill_connections, \&cut_off_mariadb ], after => \&mend_lines },
    { name => 'hup', rest => 0.3, actions => [ \&hang_up ], after => \&usual_lanes },
    { name => 'slow-lines', rest => 0.2, before => \&make_patient, actions => [ (\&outlast_lease) x 3, \&kill_at_point, \&slow_lines ], after => \&make_impatient },
    { name => 'slow-eviction', rest => 0.02, before => \&make_patient, actions => [ (\&evict_hot) x 8, \&slow_lines ], after => \&make_impatient, exempt => ['C2'] },
);

# Where each planted fault of the daemon shows.
our %mutants = (
    no_fence => [qw(slow-lines)],
    no_confirm => [qw(asleep-fenced)],
    fill_absent => [qw(asleep slow-eviction)],
    fill_any_fence => [qw(asleep)],
    no_wait => [qw(redis-line)],
    epoch_at_once => [qw(failover redis-line)],
    relay_blind => [qw(redis-cut)],
    breaker_skips_fence => [qw(redis-line)],
    reuse_connection => [qw(redis-blip)],
);

sub class_names { return map { $_->{name} } @classes }

sub run_round {
    my ($w, $class) = @_;
    $class->{before}->($w) if $class->{before};
    while ($w->left > 0) {
        $w->any(@{ $class->{actions} })->($w);
        $w->pause(rand $class->{rest});
    }
    $class->{after}->($w) if $class->{after};
    return;
}

# --- processes ---

sub kill_process {
    my ($w) = @_;
    my $host = $w->any_host;
    my $kind = $w->any(qw(read read store store store steward courier));
    kill 'KILL', $_ for grep { defined } $w->any($host->processes($kind));
    return;
}

sub kill_at_point {
    my ($w) = @_;
    my $host = $w->any_host;
    $host->set_crash_point($w->any(qw(locked saved fenced committed confirmed)));
    return;
}

sub kill_master {
    my ($w) = @_;
    my $host = $w->any_host;
    $host->master->signal('KILL');
    $w->pause($w->between(0.05, 0.6));
    $host->revive;
    return;
}

sub revive {
    my ($w) = @_;
    for my $host ($w->hosts) {
        $host->clear_crash_points;
        $host->revive;
    }
    return;
}

# Mostly about as long as a lease or a reader's mark in Redis lives; now and then much longer.
sub how_long {
    my ($w) = @_;
    return $w->any($w->between(0.02, 0.7), $w->between(0.4, 1.5), $w->between(1, 4), $w->between(3, 10));
}

sub stopped {
    my ($w, $seconds, @pids) = @_;
    kill 'STOP', @pids;
    $w->pause($seconds);
    kill 'CONT', @pids;
    return;
}

sub stop_process {
    my ($w) = @_;
    my @pids = grep { defined } map { $w->any($_->processes($w->any(qw(read store store store)))) } $w->any([ $w->any_host ], [ $w->hosts ])->@*;
    return stopped($w, how_long($w), @pids);
}

sub stop_steward {
    my ($w) = @_;
    return stopped($w, how_long($w), $w->any_host->processes('steward'));
}

# One host goes around the cache, the other does not.
sub outlast_lease {
    my ($w) = @_;
    return stopped($w, $w->between(0.8, 2.5), $w->any_host->processes('steward'));
}

sub stop_host {
    my ($w) = @_;
    my $host = $w->any_host;
    return stopped($w, how_long($w), $host->master->pid, $w->any(0, 1) ? $host->processes : ());
}

sub stop_redis {
    my ($w) = @_;
    return stopped($w, how_long($w), $w->pid_of('redis'));
}

sub stop_mariadb {
    my ($w) = @_;
    return stopped($w, how_long($w), $w->pid_of('mariadb'));
}

sub hang_up {
    my ($w) = @_;
    for my $host ($w->any([ $w->any_host ], [ $w->hosts ])->@*) {
        $host->lanes(int $w->between(1, 3), int $w->between(1, 4));
        for (1 .. $w->any(1, 1, 2, 10)) {
            $host->master->signal('HUP');
            sleep rand 0.02;
        }
    }
    return;
}

sub usual_lanes {
    my ($w) = @_;
    for my $host ($w->hosts) {
        $host->lanes(1, 2);
        $host->master->signal('HUP');
    }
    return;
}

# --- Redis ---

sub save_redis { $_[0]->save_redis }

sub restart_redis_empty { return restart_redis($_[0], 0) }
sub restart_redis_old { return restart_redis($_[0], 1) }

sub restart_redis {
    my ($w, $old) = @_;
    $w->kill_server('redis');
    $w->load_redis($old);
    $w->pause($w->any(0, rand 1.5));
    $w->start_server('redis');
    return;
}

sub flush {
    my ($w) = @_;
    $w->redis('FLUSHALL');
    return;
}

sub flush_storm {
    my ($w) = @_;
    for (1 .. 60) {
        last if $w->left <= 0;
        $w->redis('FLUSHALL');
        sleep rand 0.02;
    }
    return;
}

# Nobody writes for so long: an old value that should not be there stays, for readers to find.
sub quiet {
    my ($w, $seconds) = @_;
    $w->driver('writes off');
    $w->pause($seconds);
    $w->driver('writes on');
    return;
}

# A few keys here and there, of the tenth of the players that is asked for most.
sub evict_hot {
    my ($w) = @_;
    my $script = q(local found = redis.call('KEYS', '*{hot-00[0-2]*') for i = 1, math.min(4, #found) do redis.call('DEL', found[1 + (ARGV[1] * i) % #found]) end);
    for (1 .. 40) {
        last if $w->left <= 0;
        $w->redis('EVAL', $script, 0, int rand 1000);
        sleep rand 0.008;
    }
    return quiet($w, 0.15);
}

sub flush_scripts {
    my ($w) = @_;
    $w->redis('SCRIPT', 'FLUSH');
    return;
}

# The spare becomes the master with what it had when it lost touch; one host after the other is led to it, and some
# connections to the old one, which takes writes still, live on for a while. Then the old one follows the new one.
sub failover {
    my ($w) = @_;
    my ($old, $new) = $w->pair;
    $w->await_follower($new);
    $w->promote($new);
    $w->pause($w->any(0, rand 1.5));
    for my $host (sort { rand 2 <=> 1 } $w->hosts) {
        $host->lead_to($new->{socket}, $w->any(0, 1));
        $w->pause($w->any(0, rand 0.3, rand 1));
        kill 'KILL', $host->processes('steward') if rand 2 < 1; # the next one sees the new master, and the lanes the old one
    }
    $w->pause($w->any(0, rand 1));
    $_->sever for $w->hosts;
    $w->follow($old, $new);
    $w->swap_pair;
    return;
}

# The master follows the spare, which has less, for a moment in which it may be that nobody asks, and is the master again.
sub demote_unseen {
    my ($w) = @_;
    my ($master, $spare) = $w->pair;
    $w->await_follower($spare);
    $w->promote($spare);
    $w->pause($w->any(0.1, rand 1));
    $w->follow($master, $spare);
    $w->await_follower($master);
    $w->promote($master);
    $w->follow($spare, $master);
    $w->pause($w->any(0, rand 1));
    return;
}

# What one host sends to Redis comes late, most of it before anybody gives up; what the other has done meanwhile is flushed.
sub late_and_flushed {
    my ($w) = @_;
    my ($late) = $w->any_host;
    $late->line('redis', 'delay ' . int $w->any(10, 14, 18, $w->between(20, 60)));
    my $end = time + $w->between(1, 3);
    while (time < $end && $w->left > 0) {
        $w->redis('FLUSHALL');
        sleep rand 0.02;
    }
    $late->line('redis');
    return;
}

# A writer that has committed and not confirmed, and a reader that has read and not filled, both asleep while the other host
# writes on and Redis is flushed; then they go on, one just after the other.
sub stopped_at_points {
    my ($w) = @_;
    my $host = $w->any_host;
    $host->set_crash_point($_) for qw(committed.stop read.stop);
    $w->pause(0.1);
    $w->redis('FLUSHALL');
    $w->pause($w->between(0.05, 0.3));
    my @asleep = sort { rand 2 <=> 1 } grep { is_stopped($_) } $host->processes('store');
    $w->redis('FLUSHALL');
    for my $pid (@asleep) {
        kill 'CONT', $pid;
        sleep rand 0.01;
    }
    return wake($host);
}

# A writer that has fenced and not committed is asleep while its fence is flushed and readers fill what was before; then it
# commits, and nobody takes that value away again but its confirmation: others, who might, do not write for as long.
sub stopped_before_commit {
    my ($w) = @_;
    my $host = $w->any_host;
    $host->set_crash_point('fenced.stop');
    my $until = time + 0.1;
    sleep 0.001 while time < $until && !grep { is_stopped($_) } $host->processes('store');
    $w->driver('writes off');
    $w->redis('FLUSHALL');
    $w->pause($w->between(0.02, 0.2));
    wake($host);
    $w->pause(0.1);
    $w->driver('writes on');
    return;
}

sub wake {
    my ($host) = @_;
    $host->clear_crash_points;
    kill 'CONT', $host->processes('store');
    return;
}

sub is_stopped {
    my ($pid) = @_;
    open my $stat, '<', "/proc/$pid/stat" or return 0;
    return (readline($stat) // '') =~ /\) T /;
}

# Room for less than the hot players need.
sub make_small {
    my ($w) = @_;
    $w->redis('CONFIG', 'SET', 'maxmemory', '2mb');
    return;
}

sub fill_with_junk {
    my ($w) = @_;
    $w->redis('SET', 'junk-' . int rand 1000, 'x' x int $w->between(1000, 60_000), 'PX', 20_000) for 1 .. 20;
    return;
}

sub make_large {
    my ($w) = @_;
    $w->redis('CONFIG', 'SET', 'maxmemory', '256mb');
    return;
}

# --- the lines between hosts and servers ---

sub on_lines {
    my ($w, $server, $seconds, @troubles) = @_;
    my @hosts = $w->any([ $w->any_host ], [ $w->any_host ], [ $w->hosts ])->@*;
    $_->line($server, @troubles) for @hosts;
    $w->pause($seconds);
    $_->line($server) for @hosts;
    return;
}

sub mend_lines {
    my ($w) = @_;
    for my $host ($w->hosts) {
        $host->line($_) for qw(redis mariadb);
    }
    return;
}

# Hosts with patience, on slow lines: what happens in an instant otherwise takes long enough for others to come between, and
# nothing times out.
sub slow_lines {
    my ($w) = @_;
    my ($redis, $mariadb) = ($w->any([ 0, 20 ], [ 20, 0 ], [ 8, 8 ]), $w->any([ 0, 6 ], [ 6, 0 ], [ 3, 3 ], [ 0, 0 ]));
    for my $host ($w->hosts) {
        $host->line('redis', 'delay ' . shift @$redis);
        $host->line('mariadb', 'delay ' . shift @$mariadb);
    }
    $w->pause(0.5);
    return;
}

sub make_patient {
    my ($w) = @_;
    for my $host ($w->hosts) {
        $host->patience(200);
        $host->master->signal('HUP');
    }
    return slow_lines($w);
}

sub make_impatient {
    my ($w) = @_;
    mend_lines($w);
    for my $host ($w->hosts) {
        $host->clear_crash_points;
        $host->patience(20);
        $host->master->signal('HUP');
    }
    return;
}

# Around the time that a host waits for Redis in one round trip (20 ms).
sub slow_redis_line {
    my ($w) = @_;
    return on_lines($w, 'redis', $w->between(0.3, 3), 'delay ' . int $w->any($w->between(5, 30), $w->between(20, 200)));
}

# A few answers come too late, and then all is well: what was late must not answer what is asked next.
sub blip {
    my ($w) = @_;
    my @hosts = $w->any([ $w->any_host ], [ $w->hosts ])->@*;
    $_->line('redis', 'delay 60') for @hosts;
    sleep $w->between(0.01, 0.05);
    $_->line('redis') for @hosts;
    $w->pause($w->between(1, 5));
    return;
}

# Long enough for writes that cannot be fenced, and then for the relay to give these players back (5 s).
sub cut_off_for_a_while {
    my ($w) = @_;
    my $host = $w->any_host;
    $host->line('redis', 'refuse 1');
    $w->pause($w->between(0.8, 2));
    $host->line('redis');
    quiet($w, 6.5);
    return;
}

sub bad_redis_line {
    my ($w) = @_;
    my $percent = $w->any(2, 10, 30);
    my @troubles = map { "$_ $percent" } qw(drop_requests drop_answers half_close cut);
    my @some = grep { rand 2 < 1 } @troubles;
    return on_lines($w, 'redis', $w->between(0.2, 2), @some ? @some : $w->any(@troubles), $w->any((), 'delay 25'));
}

sub cut_off_redis {
    my ($w) = @_;
    return on_lines($w, 'redis', how_long($w), $w->any('refuse 1', 'hold 1', 'drop_requests 100', 'drop_answers 100'));
}

sub spoil_commits {
    my ($w) = @_;
    my $percent = $w->any(3, 10, 40);
    return on_lines($w, 'mariadb', $w->between(0.2, 2), $w->any("commit_lost $percent", "commit_blind $percent", "commit_late $percent"));
}

sub kill_connections {
    my ($w, $all) = @_;
    my $db = $w->database;
    my @ids = @{ $db->selectcol_arrayref(q(SELECT id FROM information_schema.processlist WHERE user = 'battlepass')) };
    for my $id (grep { $all || rand 2 < 1 } @ids) {
        eval { $db->do("KILL $id") }; # it may have gone by itself
    }
    return;
}

sub cut_off_mariadb {
    my ($w) = @_;
    return on_lines($w, 'mariadb', $w->between(0.1, 3), $w->any('refuse 1', 'hold 1', 'cut 5'));
}

# --- MariaDB ---

sub kill_mariadb {
    my ($w) = @_;
    $w->kill_server('mariadb');
    $w->pause($w->any(0, rand 1));
    $w->start_server('mariadb');
    return;
}

# To the hosts it is another server now, as after a failover. One steward sees it at once, the other sleeps on while its last word
# counts; nobody writes until then, for a writer would see it, too.
sub move_database {
    my ($w) = @_;
    my @stewards = $w->any_host->processes('steward');
    $w->driver('writes off');
    $w->pause(0.05);
    kill 'STOP', @stewards;
    $w->database->do('SET GLOBAL server_id = ' . (1 + int rand 1_000_000));
    kill_connections($w, 1);
    $w->pause($w->between(0.1, 0.25));
    $w->driver('writes on');
    $w->pause(0.5);
    kill 'CONT', @stewards;
    return;
}

# The master is a replica of nobody for a moment, and comes back as itself, but for its replication id.
sub demote_redis {
    my ($w) = @_;
    my ($master) = $w->pair;
    $w->ask_redis($master->{socket}, qw(REPLICAOF 127.0.0.1 1));
    $w->pause(rand 0.3);
    $w->promote($master);
    return;
}

1;

#!/usr/bin/perl
# The master and its processes: what dies is replaced and costs only what it had in hand; reload and stop cost nobody
# anything; what cannot work is refused with a line that says why.
use Test2::V0;
use File::Temp qw(tempdir);
use POSIX ();
use Time::HiRes qw(sleep time);
use lib 't/lib';
use Battlepass::Load qw(background finish start_load stop_load);
use Battlepass::Stack;

my $s = Battlepass::Stack->new(config => lanes(2, 2));
my $scratch = tempdir(CLEANUP => 1);
my $daemon = $s->env->{BATTLEPASSCTL} =~ s/battlepassctl$/battlepassd/r;
my $conf = $s->env->{BATTLEPASS_CONF};
my $keys = $s->dir . '/keys/set.json';
my ($run_dir) = $s->env->{MYSQL_SOCKET} =~ m{^(.*)/};
my $season = '/v1/seasons/' . $s->season;
my %viewer = $s->as(viewer => 'viewer-1');
my %server = $s->as(server => 'gs-1');

# --- configuration, programs ---

sub lanes {
    my ($read, $store) = @_;
    return "read_lane {\n\tprocesses = $read\n}\nstore_lane {\n\tprocesses = $store\n}\n";
}

sub spew {
    my ($file, $text) = @_;
    open my $out, '>', $file or die "$file: $!";
    print {$out} $text;
    close $out or die "$file: $!";
    return;
}

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!";
    local $/ = undef;
    return <$in> // '';
}

# What the stack's configuration says is overruled by this text.
sub configure {
    my ($text) = @_;
    spew($s->dir . '/conf.d/95-test.conf', $text);
    return;
}

# battlepassd in the foreground: (exit status, standard output, standard error). It must come to an end by itself.
sub battlepassd {
    my ($environment, @arguments) = @_;
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        @ENV{ keys %$environment } = values %$environment;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$scratch/out";
        open STDERR, '>', "$scratch/err";
        exec $daemon, @arguments or POSIX::_exit(127);
    }
    my $ended = $s->wait_until(10, sub { waitpid($pid, POSIX::WNOHANG()) == $pid });
    my $status = $ended ? $? : 'did not end';
    kill 'KILL', $pid and waitpid $pid, 0 unless $ended;
    return ($ended && !($status & 127) ? $status >> 8 : $status, slurp("$scratch/out"), slurp("$scratch/err"));
}

# A daemon that is a child of this test, so that its exit status can be seen; the stack takes it for its own.
sub launch {
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        POSIX::setsid();
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', $s->dir . '/battlepassd.log';
        open STDERR, '>&', \*STDOUT;
        exec $daemon, '-c', $conf or POSIX::_exit(127);
    }
    spew($s->dir . '/pid/battlepassd', "$pid\n");
    return $pid;
}

# --- processes ---

# 'read' => [pids] and so on, by the listening socket that a process watches; what watches none goes by its name.
sub roles {
    my %lane_of = map { m{ (\d+) \S+/(read|store|purchase|admin)\.sock$} ? ($1 => $2) : () } split /\n/, slurp('/proc/net/unix');
    my %roles;
    push @{ $roles{ role_of($_, \%lane_of) } }, $_ for sort { $a <=> $b } keys %{ $s->workers };
    return \%roles;
}

sub role_of {
    my ($pid, $lane_of) = @_;
    my %link = map { m{/(\d+)$} ? ($1 => readlink($_) // '') : () } glob "/proc/$pid/fd/*";
    for my $epoll (grep { $link{$_} eq 'anon_inode:[eventpoll]' } keys %link) {
        my $info = eval { slurp("/proc/$pid/fdinfo/$epoll") } // '';
        for my $watched ($info =~ /^tfd:\s+(\d+)/mg) {
            my ($inode) = ($link{$watched} // '') =~ /^socket:\[(\d+)\]$/ or next;
            return $lane_of->{$inode} if $lane_of->{$inode};
        }
    }
    return (eval { slurp("/proc/$pid/comm") } // '') =~ /^bp-(\w+)/ ? $1 : 'unknown';
}

# The roles, once there are so many of each and none of those that must be gone; undef if that never comes.
sub roles_once {
    my ($seconds, $read, $store, %gone) = @_;
    return $s->wait_until($seconds, sub {
        my $roles = roles();
        my %count = map { $_ => scalar @{ $roles->{$_} } } keys %$roles;
        return if join(' ', map { $count{$_} // 0 } qw(read store purchase admin steward courier)) ne "$read $store 1 1 1 1";
        return if grep { $gone{$_} } map { @$_ } values %$roles;
        return $roles;
    });
}

sub all_of {
    my ($roles) = @_;
    return map { $_ => 1 } map { @$_ } values %$roles;
}

# Dead ones that wait for their parent are none.
sub living {
    my ($word) = @_;
    my @found;
    for my $dir (glob '/proc/[0-9]*') {
        my $words = eval { slurp("$dir/cmdline") } // '';
        push @found, $dir =~ s{.*/}{}r if index($words, $daemon) == 0 && index($words, $word) >= 0;
    }
    return \@found;
}

sub age_of {
    my ($pid) = @_;
    my ($uptime) = slurp('/proc/uptime') =~ /^(\S+)/;
    my @fields = split ' ', slurp("/proc/$pid/stat") =~ s/^.*\) //r;
    return $uptime - $fields[19] / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

my $log_mark = 0;

sub mark_log {
    $log_mark = length $s->daemon_log;
    return;
}

sub log_since {
    return $s->log_text($log_mark);
}

sub logged {
    my ($pattern, $seconds) = @_;
    return $s->wait_until($seconds // 2, sub { log_since() =~ $pattern });
}

# --- clients ---

# Every other player was never seen before, and has to be read from the database.
sub reader {
    my ($number) = @_;
    my $known = "known-$$-$number";
    return sub {
        my ($i) = @_;
        my $player = $i % 2 ? $known : "new-$$-$number-$i";
        my $answer = $s->get("$season/players/$player/progress", \%viewer);
        return { ok => $answer->{status} == 200, status => $answer->{status}, player => $player };
    };
}

sub grant {
    my ($player, $key) = @_;
    return $s->post("$season/players/$player/xp-grants", { %server, 'Idempotency-Key' => $key }, { amount => 10, source => 'match' });
}

my $series = 0;

sub granter {
    my ($player_prefix) = @_;
    return sub {
        my ($number) = @_;
        return sub {
            my ($i) = @_;
            my ($player, $key) = ("$player_prefix-$number", "k-$i");
            my $answer = grant($player, $key);
            return { ok => $answer->{status} == 201, status => $answer->{status}, player => $player, key => $key };
        };
    };
}

sub fresh_prefix {
    return sprintf 'm-%d-%d', $$, ++$series;
}

# (ledger rows, XP of the players) of all whose names begin so.
sub written {
    my ($prefix) = @_;
    my $db = $s->db;
    my ($rows) = $db->selectrow_array('SELECT COUNT(*) FROM xp_grant WHERE player_id LIKE ?', undef, "$prefix-%");
    my ($xp) = $db->selectrow_array('SELECT COALESCE(SUM(xp), 0) FROM progress WHERE player_id LIKE ?', undef, "$prefix-%");
    return ($rows, $xp);
}

# The row of a player that has XP, locked until the returned connection ends its transaction.
sub lock_player {
    my ($player) = @_;
    grant($player, 'first')->{status} == 201 or die "no grant to $player";
    my $db = $s->db;
    $db->begin_work;
    $db->selectall_arrayref('SELECT xp FROM progress WHERE player_id = ? FOR UPDATE', undef, $player);
    return $db;
}

# The server makes this table anew only when nobody has read it for 0.1 s.
sub somebody_waits_for_a_lock {
    my $db = $s->db;
    return $s->wait_until(1.5, sub {
        sleep 0.12;
        ($db->selectrow_array("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"))[0];
    });
}

# --- what must hold ---

subtest 'options' => sub {
    my ($status, $out, $err) = battlepassd({}, '--help');
    is([$status, $err], [0, ''], '--help');
    like($out, qr/^Usage: battlepassd/, '--help: usage');
    like($out, qr/\Q$_\E/, "--help names $_") for qw(-c --config -o --option -t --test --sample-config -h --help -V --version);
    like($out, qr/^Exit status: 0 .*\n(?=.*battlepassd\(8\))(?=.*battlepass\.conf\(5\))/m, '--help: exit status and manual pages');
    ($status, $out, $err) = battlepassd({}, '--version');
    is([$status, $err], [0, ''], '--version');
    like($out, qr/^battlepassd \d+\.\d+\S*\n\z/, '--version: one line');
    for my $wrong (['--frobnicate'], ['-x'], ['-c'], ['surplus'], ['-t', '-c', $conf, 'surplus']) {
        ($status, $out, $err) = battlepassd({}, @$wrong);
        is([$status, $out], [1, ''], "@$wrong: refused");
        like($err, qr/^Usage: battlepassd/m, "@$wrong: usage");
    }
    ($status, undef, $err) = battlepassd({}, '-c', $conf, map { ('-o', 'log_level=info') } 1 .. 65);
    is($status, 1, 'too many -o');
    like($err, qr/too many -o/, 'too many -o: says so');
};

subtest '-t and where a value comes from' => sub {
    my $missing = "$scratch/missing.json";
    my @here = ('-t', '-c', $conf);
    my ($status, $out, $err) = battlepassd({}, @here);
    is($status, 0, 'good');
    like($err, qr/^battlepassd: \Q$conf\E: good\n\z/, 'good: says so, and nothing else');

    my $own = "$scratch/etc";
    mkdir $own;
    mkdir "$own/conf.d";
    my $good_text = slurp($conf);
    my $check = sub {
        my ($text, $extra) = @_;
        spew("$own/battlepass.conf", $text);
        unlink "$own/conf.d/10-x.conf";
        spew("$own/conf.d/10-x.conf", $extra) if defined $extra;
        my ($own_status, undef, $own_err) = battlepassd({}, '-t', '-c', "$own/battlepass.conf");
        return ($own_status, $own_err);
    };
    my @faults = (
        ['unknown key', "\nfrobnicate = 1\n", qr/'frobnicate'/],
        ['unknown section', "\n\nfrob {\n}\n", qr/'frob'/, 1],
        ['unknown key of a section', "\nstore {\n\tfrob = 1\n}\n", qr/'frob'/],
        ['out of range', "\nread_lane {\n\tprocesses = 257\n}\n", qr/read_lane\.processes: a whole number from 0 to 256/],
        ['no choice', "\nlog_level = loud\n", qr/log_level: one of error/],
    );
    for my $fault (@faults) {
        my ($name, $text, $pattern) = @$fault;
        # The line of the first word; for a section that of its key.
        my @lines = split /\n/, $text;
        my ($line) = grep { $lines[ $_ - 1 ] =~ /frob|processes|loud/ } 1 .. @lines;
        ($status, $err) = $check->($good_text, $text);
        is($status, 1, "$name: status");
        like($err, qr{^battlepassd: \Q$own\E/conf\.d/10-x\.conf:$line: .*$pattern}, "$name: file and line");
        ($status, $err) = $check->($good_text . $text);
        my $far = $line + ($good_text =~ tr/\n//);
        like($err, qr{^battlepassd: \Q$own\E/battlepass\.conf:$far: .*$pattern}, "$name: in the first file, too");
    }
    ($status, $err) = $check->("store {\n");
    is($status, 1, 'half a file');
    ($status, undef, $err) = battlepassd({}, '-t', '-c', "$own/none.conf");
    is($status, 1, 'no file');
    like($err, qr{\Q$own\E/none\.conf: No such file}, 'no file: says which');

    # A later source overrules an earlier one. A file of keys that is not there tells which value was taken.
    ($status, $err) = $check->("$good_text\nauth {\n\tkeys = \"$missing-file\"\n}\n");
    is($status, 1, 'the file counts');
    like($err, qr/\Q$missing-file\E/, 'the file: its name');
    ($status, $err) = $check->($good_text, "auth {\n\tkeys = \"$missing-conf.d\"\n}\n");
    is($status, 1, 'conf.d overrules the file');
    like($err, qr/\Q$missing-conf.d\E/, 'conf.d: its name');
    ($status, undef, $err) = battlepassd({ BATTLEPASS_AUTH_KEYS => $keys }, '-t', '-c', "$own/battlepass.conf");
    is($status, 0, 'the environment overrules conf.d');
    ($status, undef, $err) = battlepassd({ BATTLEPASS_AUTH_KEYS => "$missing-env" }, @here);
    is($status, 1, 'the environment overrules the file');
    like($err, qr/\Q$missing-env\E/, 'the environment: its name');
    ($status, undef, $err) = battlepassd({ BATTLEPASS_AUTH_KEYS => "$missing-env" }, @here, '-o', "auth.keys=$keys");
    is($status, 0, '-o overrules the environment');
    ($status, undef, $err) = battlepassd({}, @here, '-o', "auth.keys=$keys", '--option', "auth.keys=$missing-last");
    is($status, 1, 'the last -o counts');
    like($err, qr/\Q$missing-last\E/, '-o: its name');
    ($status, undef, $err) = battlepassd({ BATTLEPASS_READ_LANE_TURN => 'many' }, @here);
    is($status, 1, 'a wrong value in the environment');
    like($err, qr/BATTLEPASS_READ_LANE_TURN: read_lane\.turn: a whole number/, 'environment: names the variable');
    for my $wrong ('frob.nicate=1', 'read_lane.turn=0', 'read_lane.turn', '=1') {
        ($status, undef, $err) = battlepassd({}, @here, '-o', $wrong);
        is($status, 1, "-o $wrong");
        like($err, qr/^battlepassd: override "\Q${\($wrong =~ s{=.*}{}r)}\E": /, "-o $wrong: names it");
    }

    spew("$scratch/rubbish.json", '{"keys":');
    ($status, undef, $err) = battlepassd({}, @here, '-o', "auth.keys=$scratch/rubbish.json");
    is($status, 1, 'keys that cannot be read');
    like($err, qr/auth\.keys: .*rubbish\.json.*JSON/, 'keys: says what is wrong');
    like($err, qr/^battlepassd: \Q$conf\E: cannot be used$/m, 'and that it cannot be used');
    ($status, undef, $err) = battlepassd({}, @here, '-o', "store.socket=$scratch/no.sock");
    is($status, 0, 'a database that is away is no fault of the configuration');
    like($err, qr/no\.sock.*going on without the database/s, 'but is told');
};

subtest '--sample-config' => sub {
    my ($status, $out, $err) = battlepassd({}, '--sample-config');
    is([$status, $err], [0, ''], 'status');
    my @needed = map { ('-o', $_) } "auth.keys=$keys", 'store.socket=' . $s->env->{MYSQL_SOCKET}, "run_dir=$scratch";
    spew("$scratch/sample.conf", $out);
    ($status, undef, $err) = battlepassd({}, '-t', '-c', "$scratch/sample.conf", @needed);
    is($status, 0, 'it parses') or diag $err;
    my $keys_of_sample = $out =~ s/^(\t?)#(\w+ = )/$1$2/mg;
    ok($keys_of_sample > 25, "it has all keys ($keys_of_sample)");
    spew("$scratch/sample.conf", $out);
    ($status, undef, $err) = battlepassd({}, '-t', '-c', "$scratch/sample.conf", @needed);
    is($status, 0, 'it parses with every default put in') or diag $err;
};

subtest 'a second master on the same folder' => sub {
    my $before = slurp("$run_dir/battlepassd.pid");
    my ($status, undef, $err) = battlepassd({}, '-c', $conf);
    is($status, 1, 'refused');
    like($err, qr{"level":"error","role":"master",.*"message":"\Q$run_dir\E/battlepassd\.pid: another battlepassd runs on this folder"}, 'and told why');
    is(slurp("$run_dir/battlepassd.pid"), $before, 'the pid file is still the first one\'s');
    is($before, $s->master_pid . "\n", 'it holds its pid');
    is($s->get("$season/players/p-1/progress", \%viewer)->{status}, 200, 'the first one works on');
};

subtest 'killed under load' => sub {
    ok(my $roles = roles_once(3, 2, 2), 'all are there') or return;
    my $prefix = fresh_prefix();
    my $load = start_load(get => [4, \&reader], grant => [4, granter($prefix)]);
    sleep 0.5;
    my @store_kills;
    for my $role (qw(read store steward courier read store steward purchase)) {
        my $pid = $roles->{$role}[0];
        my $deaths = $s->metrics->{battlepass_process_deaths_total};
        my $age = age_of($pid);
        mark_log();
        my $killed = time;
        kill 'KILL', $pid;
        push @store_kills, $killed if $role eq 'store';
        ok($roles = roles_once(1, 2, 2, $pid => 1), "$role: replaced within a second") or last;
        my ($lifetime) = log_since() =~ / error master\[\d+\]: $role process $pid was killed by signal 9 \(Killed\) after (\d+\.\d) s\n/;
        ok(defined $lifetime, "$role: obituary") or diag log_since();
        ok(abs(($lifetime // -1) - $age) <= 0.3, "$role: its lifetime");
        is($s->metrics->{battlepass_process_deaths_total}, $deaths + 1, "$role: counted");
        sleep 0.4;
    }
    my $total = stop_load($load);
    ok($total->{$_}{done} > 100, "enough of $_ ($total->{$_}{done})") for qw(get grant);
    is($total->{get}{failed}, [], 'every GET was answered: nginx asks again');
    my @failed = @{ $total->{grant}{failed} };
    my @elsewhere = grep {
        my $failed = $_;
        $failed->{status} ne '503' || !grep { $failed->{started} <= $_ + 0.02 && $failed->{ended} >= $_ } @store_kills;
    } @failed;
    is(\@elsewhere, [], 'no grant failed but those that were under way when a store process was killed');
    my %answers = map { grant($_->{player}, $_->{key})->{status} => 1 } @failed;
    is([ grep { $_ != 201 } keys %answers ], [], 'asked again, they are granted');
    my $granted = $total->{grant}{done};
    is([ written($prefix) ], [$granted, 10 * $granted], 'each once');
};

subtest 'exactly those of the dead store process\'s turn fail' => sub {
    configure(lanes(2, 1));
    my %old = all_of(roles());
    $s->reload;
    ok(my $roles = roles_once(3, 2, 1, %old), 'one store process') or return;
    my $prefix = fresh_prefix();
    my $lock = lock_player("$prefix-locked");
    my ($pid) = @{ $roles->{store} };
    my $post = sub { my ($name) = @_; return background(sub { grant("$prefix-$name", 'k')->{status} }) };
    # What waits when the process goes on is one turn, and that waits for the lock.
    kill 'STOP', $pid;
    my @granting = map { $post->($_) } 'locked', 1 .. 3;
    my @reading = map { my $n = $_; background(sub { $s->get("$season/players/$prefix-cold-$n/progress", \%viewer)->{status} }) } 1 .. 4;
    sleep 0.4;
    kill 'CONT', $pid;
    ok(somebody_waits_for_a_lock(), 'the turn is under way');
    my @later = map { $post->($_) } 4 .. 6;
    sleep 0.2;
    kill 'KILL', $pid;
    ok(roles_once(1, 2, 1, $pid => 1), 'replaced within a second');
    $lock->rollback;
    is([ map { scalar finish($_) } @granting ], [ (503) x 4 ], 'the grants of the turn: 503');
    is([ map { scalar finish($_) } @reading ], [ (200) x 4 ], 'the GETs of the turn: nginx asked again');
    is([ map { scalar finish($_) } @later ], [ (201) x 3 ], 'what was not in the turn: granted');
    is([ written($prefix) ], [4, 40], 'nothing of the turn was written');
    my $again = grant("$prefix-1", 'k');
    is($again->{status}, 201, 'asked again: granted');
    is($again->{headers}{'idempotent-replayed'}, undef, 'for the first time');
};

subtest 'GETs of a dead read process are asked again' => sub {
    configure(lanes(1, 2) . "cache {\n\tturn_timeout_ms = 1000\n}\n");
    my %old = all_of(roles());
    $s->reload;
    ok(my $roles = roles_once(3, 1, 2, %old), 'all are there') or return;
    my $ask = sub { return background(sub { $s->get("$season/players/held/progress", \%viewer)->{status} }) };
    for my $how ('new connections', 'kept connections') {
        ok($s->wait_until(5, sub { $s->get("$season/players/held/progress", \%viewer)->{headers}{'server-timing'} =~ /cache/ }),
            "$how: the cache answers");
        if ($how eq 'new connections') {
            $s->restart('nginx');
        } else {
            finish($_) for map { $ask->() } 1 .. 8;
        }
        # It waits for Redis with what it has in hand, and the rest is on its way to it.
        my $redis = $s->pid('redis');
        my ($pid) = @{ $roles->{read} };
        kill 'STOP', $redis;
        my @reading = map { $ask->() } 1 .. 8;
        sleep 0.25;
        kill 'KILL', $pid;
        kill 'CONT', $redis;
        is([ map { scalar finish($_) } @reading ], [ (200) x 8 ], "$how: every one was answered");
        ok($roles = roles_once(1, 1, 2, $pid => 1), "$how: replaced within a second") or return;
    }
    configure(lanes(2, 2));
    $s->reload;
    ok(roles_once(3, 2, 2, all_of($roles)), 'as before');
};

subtest 'what the dead have counted stays' => sub {
    ok(my $roles = roles_once(3, 2, 2), 'all are there') or return;
    my $prefix = fresh_prefix();
    my $before = $s->metrics;
    for my $n (1 .. 40) {
        is(grant("$prefix-1", "k-$n")->{status}, 201, 'granted') if $n == 1 || grant("$prefix-1", "k-$n")->{status} != 201;
    }
    my $after = $s->metrics;
    is($after->{battlepass_xp_grants_total} - $before->{battlepass_xp_grants_total}, 40, '40 grants counted');
    my %dead = map { $_ => 1 } map { @{ $roles->{$_} } } qw(read store steward);
    kill 'KILL', keys %dead;
    ok(roles_once(3, 2, 2, %dead), 'all are replaced');
    my $then = $s->metrics;
    is([ grep { /_(?:total|bucket|sum|count)(?:\{|$)/ && ($then->{$_} // 0) < $after->{$_} } sort keys %$after ], [], 'no counter went back');
    is($then->{battlepass_xp_grants_total}, $after->{battlepass_xp_grants_total}, 'no grant was lost or counted twice');
    is($then->{battlepass_process_deaths_total} - $after->{battlepass_process_deaths_total}, 5, 'five deaths');
    is($then->{battlepass_process_starts_total} - $after->{battlepass_process_starts_total}, 5, 'five starts');
    grant("$prefix-1", 'k-more');
    is($s->metrics->{battlepass_xp_grants_total}, $after->{battlepass_xp_grants_total} + 1, 'the new ones count on');
};

subtest 'HUP under load' => sub {
    my $prefix = fresh_prefix();
    my $deaths = $s->metrics->{battlepass_process_deaths_total};
    my $load = start_load(get => [4, \&reader], grant => [4, granter($prefix)]);
    my $began = time;
    for my $round (1 .. 10) {
        my @sizes = $round % 2 ? (1, 3) : (3, 2);
        my %old = all_of(roles());
        configure(lanes(@sizes));
        mark_log();
        $s->reload;
        ok(roles_once(3, @sizes, %old), "round $round: @sizes processes, all new, the old ones gone") or last;
        like(log_since(), qr/ info master\[\d+\]: reloaded\n/, "round $round: told");
        sleep 0.2;
    }
    my $took = time - $began;
    my $total = stop_load($load);
    my $rate = ($total->{get}{done} + $total->{grant}{done}) / $took;
    ok($rate > 20, sprintf 'enough requests (%.0f a second)', $rate);
    is($total->{$_}{failed}, [], "$_: 0 of $total->{$_}{done} failed") for qw(get grant);
    my $granted = $total->{grant}{done};
    is([ written($prefix) ], [$granted, 10 * $granted], 'each grant once');
    is($s->metrics->{battlepass_process_deaths_total}, $deaths, 'those that were asked to go are no deaths');
};

subtest 'HUP: log_level' => sub {
    my $hup = sub {
        my ($text) = @_;
        my %old = all_of(roles());
        mark_log();
        configure(lanes(2, 2) . $text);
        $s->reload;
        return roles_once(3, 2, 2, %old);
    };
    ok($hup->("log_level = error\n"), 'reloaded');
    sleep 0.3;
    is(log_since(), '', 'errors only: neither the master nor the steward says more');
    ok($hup->("log_level = info\n"), 'reloaded');
    ok(logged(qr/ info master\[\d+\]: reloaded/), 'info again: the master');
    ok(logged(qr/ info steward\[\d+\]: season directory version/), 'info again: the steward');
};

subtest 'HUP with what cannot be used changes nothing' => sub {
    my $roles = roles_once(3, 2, 2);
    my $file = $s->dir . '/conf.d/95-test.conf';
    my @bad = (
        ['unknown key', lanes(1, 1) . "\nfrobnicate = 1\n", qr/not reloaded: \Q$file\E:8: .*'frobnicate'/],
        ['out of range', "read_lane {\n\tprocesses = 1\n\tturn = 0\n}\n", qr/not reloaded: \Q$file\E:3: read_lane\.turn: /],
        ['half a file', "read_lane {\n\tprocesses = 1\n", qr/not reloaded: \Q$file\E: ends within/],
        ['no keys', "auth {\n\tkeys = \"$scratch/none.json\"\n}\n", qr/auth\.keys: .*none\.json.*not reloaded: /s],
        ['another database', "store {\n\tdatabase = information_schema\n}\n", qr/battlepassctl migrate.*not reloaded: /s],
    );
    for my $bad (@bad) {
        my ($name, $text, $pattern) = @$bad;
        configure($text);
        mark_log();
        $s->reload;
        ok(logged($pattern), "$name: on the log") or diag log_since();
        sleep 0.15;
        is(roles(), $roles, "$name: the same processes");
        unlike(log_since(), qr/: reloaded/, "$name: not reloaded");
    }
    is($s->get("$season/players/p-1/progress", \%viewer)->{status}, 200, 'all works on');
};

subtest 'HUP with another run_dir' => sub {
    my %old = all_of(roles());
    mkdir "$scratch/run";
    configure(lanes(2, 2) . "run_dir = \"$scratch/run\"\n");
    mark_log();
    $s->reload;
    ok(roles_once(3, 2, 2, %old), 'the rest is in force');
    ok(logged(qr/ warning master\[\d+\]: run_dir has changed: it takes a restart/), 'a warning');
    is([ glob "$scratch/run/*" ], [], 'nothing in the new folder');
    ok(-S "$run_dir/$_.sock", "$_.sock is where it was") for qw(read store purchase admin);
    is($s->get("$season/players/p-1/progress", \%viewer)->{status}, 200, 'and nginx gets answers');
    configure(lanes(2, 2));
};

subtest 'who dies young is started more and more slowly' => sub {
    my $roles = roles_once(3, 2, 2);
    sleep 1.1;
    my $kill = sub {
        my $pid = $roles->{admin}[0];
        my $killed = time;
        kill 'KILL', $pid;
        my $new = $s->wait_until(4, sub { my ($other) = grep { $_ != $pid } @{ roles()->{admin} // [] }; $other });
        $roles->{admin} = [$new];
        return time - $killed;
    };
    my @delays = map { $kill->() } 1 .. 5;
    note(sprintf 'seconds: %.3f %.3f %.3f %.3f %.3f', @delays);
    ok($delays[0] < 0.35, 'who lived long: at once');
    for my $n (1 .. 4) {
        my $least = 0.1 * 2**($n - 1);
        ok($delays[$n] >= $least && $delays[$n] < $least + 0.4, "young for time $n: after $least s");
    }
    sleep 1.1;
    ok($kill->() < 0.35, 'who lived long again: at once again');
    ok(roles_once(1, 2, 2), 'the other lanes never noticed');
};

# Processes have the keys of the last reload, whatever the file holds by now.
subtest 'a set of keys that was broken after it was taken' => sub {
    my $roles = roles_once(3, 2, 2);
    sleep 1.1;
    for my $broken ('', undef) {
        rename $keys, "$keys.away" or die "$keys: $!";
        if (defined $broken) {
            open my $out, '>', $keys or die "$keys: $!";
            close $out;
        }
        my %killed = map { $_ => 1 } @{ roles()->{read} };
        kill 'KILL', keys %killed;
        ok($s->wait_until(5, sub { my @read = @{ roles()->{read} // [] }; @read == 2 && !grep { $killed{$_} } @read }), 'who dies is replaced');
        is($s->get("$season/players/p-1/progress", \%viewer)->{status}, 200, 'and answers');
        mark_log();
        my $before = roles();
        $s->reload;
        ok(logged(qr/auth\.keys: .*not reloaded/s), 'a reload without keys says why');
        is(roles(), $before, 'and changes nothing');
        rename "$keys.away", $keys or die "$keys: $!";
    }
    my %old = all_of(roles());
    $s->reload;
    ok(roles_once(3, 2, 2, %old), 'keys back and HUP: all are there');
};

subtest 'kill -9 of the master' => sub {
    my $roles = roles_once(3, 2, 2);
    my @stopped = map { $_->[0] } values %$roles;
    kill 'STOP', @stopped;
    my $master = $s->master_pid;
    kill 'KILL', $master;
    ok($s->wait_until(0.5, sub { !@{ living($conf) } }), 'every process is gone at once, the stopped ones too')
        or kill 'KILL', @{ living($conf) };
    ok(-e "$run_dir/$_", "$_ was left") for qw(battlepassd.pid read.sock store.sock admin.sock);
    mark_log();
    my $pid = launch();
    ok(roles_once(3, 2, 2), 'a new master starts on the same folder');
    is(slurp("$run_dir/battlepassd.pid"), "$pid\n", 'its pid is in the file');
    is($s->get("$season/players/p-1/progress", \%viewer)->{status}, 200, 'and nginx gets answers');
};

sub is_gone {
    my ($pid) = @_;
    my $ended = $s->wait_until(5, sub { waitpid($pid, POSIX::WNOHANG()) == $pid });
    my $status = $?;
    ok($ended, 'it ended') or return;
    is($status, 0, 'exit status 0');
    unlink $s->dir . '/pid/battlepassd'; # what launch() wrote
    is(living($conf), [], 'no process is left');
    is([ grep { -e "$run_dir/$_" } qw(battlepassd.pid read.sock store.sock admin.sock) ], [], 'sockets and pid file are gone');
    like(log_since(), qr/ info master\[$pid\]: stopping\n.*info master\[$pid\]: stopped\n/s, 'told');
    unlike(log_since(), qr/ error /, 'no errors');
    return;
}

subtest 'TERM: what is under way is answered' => sub {
    my $prefix = fresh_prefix();
    my $pid = $s->master_pid;
    my $lock = lock_player("$prefix-locked");
    mark_log();
    my $granting = background(sub { grant("$prefix-locked", 'under-way')->{status} });
    # A GET that has reached its process, on a connection that was used before, and was not read yet.
    my $read = roles()->{read};
    my $reading = background(sub {
        my $ask = sub { $s->get("$season/players/known/progress", \%viewer) };
        $s->wait_until(2, sub { $ask->()->{headers}{'server-timing'} =~ /cache/ });
        spew("$scratch/asked", '');
        $s->wait_until(5, sub { -e "$scratch/ask" });
        return $ask->()->{status};
    });
    ok($s->wait_until(3, sub { -e "$scratch/asked" }), 'the connection is there');
    kill 'STOP', @$read;
    spew("$scratch/ask", '');
    ok(somebody_waits_for_a_lock(), 'a grant is under way');
    sleep 0.1;
    kill 'TERM', $pid;
    sleep 0.1;
    kill 'CONT', @$read;
    sleep 0.8; # longer than a lease lives
    ok(kill(0, $pid), 'the master waits for it');
    $lock->rollback;
    is(scalar finish($granting), 201, 'it is answered');
    is(scalar finish($reading), 200, 'so is the GET');
    is_gone($pid);
    unlike(log_since(), qr/cache is turned off/, 'nor was the cache turned off for the other hosts');
    is([ written($prefix) ], [2, 20], 'and written');
};

subtest 'TERM under load: what is written is answered' => sub {
    my $pid = launch();
    ok(roles_once(3, 2, 2), 'it runs again') or return;
    mark_log();
    my $prefix = fresh_prefix();
    my $load = start_load(grant => [8, granter($prefix)]);
    sleep 0.7;
    kill 'TERM', $pid;
    is_gone($pid);
    my $total = stop_load($load)->{grant};
    my @failed = @{ $total->{failed} };
    my $answered = $total->{done} - @failed;
    ok(@failed && $answered > 20, "some were answered ($answered), some came too late");
    is([ grep { $_->{status} ne '503' } @failed ], [], 'too late is 503');
    my %late = map { ("$_->{player} $_->{key}" => 1) } @failed;
    my $rows = $s->db->selectcol_arrayref("SELECT CONCAT(player_id, ' ', idempotency_key) FROM xp_grant WHERE player_id LIKE ?",
        undef, "$prefix-%");
    is(scalar @$rows, $answered, 'as many written as answered with 201');
    is([ grep { $late{$_} } @$rows ], [], 'none of them answered with 503');
};

subtest 'INT stops, too' => sub {
    my $pid = launch();
    ok(roles_once(3, 2, 2), 'it runs again') or return;
    mark_log();
    kill 'INT', $pid;
    is_gone($pid);
};

done_testing;

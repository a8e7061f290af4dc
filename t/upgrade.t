#!/usr/bin/perl
# Updates without downtime: while clients read and write, the daemon is restarted on the service manager's sockets, reads its
# configuration anew, and is replaced by other binaries; nobody notices. What cannot take over changes nothing.
use Test2::V0;
use File::Copy qw(copy);
use File::Temp qw(tempdir);
use Time::HiRes qw(sleep time);
use lib 't/lib';
use Battlepass::Load qw(start_load stop_load);
use Battlepass::Manager;
use Battlepass::Stack;

my $s = Battlepass::Stack->new;
my $scratch = tempdir(CLEANUP => 1);
my $built = $s->env->{BATTLEPASSCTL} =~ s/battlepassctl$/battlepassd/r;
my $daemon = "$scratch/battlepassd";
my $log = $s->dir . '/managed.log';
my ($run_dir) = $s->env->{MYSQL_SOCKET} =~ m{^(.*)/};
my $season = '/v1/seasons/' . $s->season;
my %viewer = $s->as(viewer => 'viewer-1');
my %server = $s->as(server => 'gs-1');

sub slurp {
    my ($file) = @_;
    open my $in, '<:raw', $file or die "$file: $!";
    local $/ = undef;
    return scalar(<$in>) // '';
}

# Puts another file in the daemon's place, at once, as dpkg does.
sub install {
    my ($bytes) = @_;
    open my $out, '>:raw', "$daemon.new" or die "$daemon.new: $!";
    print {$out} $bytes;
    close $out or die "$daemon.new: $!";
    chmod 0755, "$daemon.new";
    rename "$daemon.new", $daemon or die "$daemon: $!";
    return;
}

my $this = slurp($built);
my ($version) = `$built --version` =~ /^battlepassd (\d+\.\d+\.\d+)\n/ or die 'no version';

# The same program by another version, as long as this one.
sub other_version {
    my ($number) = @_;
    my $other = sprintf '%-*s', length $version, "9.$number";
    return $this =~ s/\Q$version\E/$other/gr;
}

# Whose parent the master is, with their titles.
sub children {
    my ($pid) = @_;
    my %children;
    for my $child (split ' ', slurp("/proc/$pid/task/$pid/children")) {
        my $title = eval { slurp("/proc/$child/comm") } // next;
        $children{$child} = $title =~ s/\n//r;
    }
    return \%children;
}

my $mark = 0;
sub mark_log { $mark = -s $log // 0 }
sub log_since { return substr slurp($log), $mark }

sub said { my ($answer) = @_; return join ' ', $answer->{status}, ($answer->{json} // {})->{code} // () }

my $series = 0;
sub start_clients {
    my $prefix = "u-$$-" . ++$series;
    my $load = start_load(
        get => [ 4, sub {
            my ($n) = @_;
            return sub {
                my ($i) = @_;
                my $player = $i % 4 ? "known-$n" : "new-$prefix-$n-$i";
                my $answer = $s->get("$season/players/$player/progress", \%viewer);
                return { ok => $answer->{status} == 200, status => said($answer) };
            };
        } ],
        grant => [ 3, sub {
            my ($n) = @_;
            return sub {
                my ($i) = @_;
                my $answer = $s->post("$season/players/$prefix-$n/xp-grants", { %server, 'Idempotency-Key' => "k-$i" }, { amount => 10, source => 'match' });
                return { ok => $answer->{status} == 201, status => said($answer) };
            };
        } ],
    );
    return ($load, $prefix);
}

sub all_is_well {
    my ($load, $prefix) = @_;
    my $total = stop_load($load);
    for my $name (qw(get grant)) {
        my @failed = map { sprintf '%s after %.2f s', $_->{status}, $_->{ended} - $_->{started} } @{ $total->{$name}{failed} };
        is(\@failed, [], "$name: 0 of $total->{$name}{done} failed");
    }
    cmp_ok($total->{$_}{done}, '>', 5, "enough of $_") for qw(get grant);
    my ($rows) = $s->db->selectrow_array('SELECT COUNT(*) FROM xp_grant WHERE player_id LIKE ?', undef, "$prefix-%");
    is($rows, $total->{grant}{done}, 'each grant once');
    return;
}

sub from_cache {
    my $answer = $s->get("$season/players/known-1/progress", \%viewer);
    return $answer->{status} == 200 && ($answer->{headers}{'server-timing'} // '') =~ /cache/;
}

$s->stop('battlepassd');
install($this);
my $manager = Battlepass::Manager->new(folder => $run_dir, log => $log, command => [ $daemon, '-c', $s->env->{BATTLEPASS_CONF} ]);

subtest 'started by a service manager' => sub {
    ok($manager->start, 'it says that it is ready') or bail_out(slurp($log));
    is($s->get("$season/players/known-1/progress", \%viewer)->{status}, 200, 'it answers on the passed sockets');
    ok($s->wait_until(5, \&from_cache), 'from the cache, too');
    is($manager->stop, 0, 'it ends when it is told to');
    is([ grep { $_ eq 'STOPPING=1' } $manager->told ], ['STOPPING=1'], 'and says so');
    ok(-S "$run_dir/$_.sock", "$_.sock is left to the service manager") for qw(read store purchase admin);
};

subtest 'restarts' => sub {
    ok($manager->start, 'ready');
    my ($load, $prefix) = start_clients();
    for (1 .. 5) {
        sleep 0.3;
        is($manager->stop, 0, 'it ends');
        sleep 0.1;
        ok($manager->start, 'ready again');
    }
    sleep 0.3;
    all_is_well($load, $prefix);
};

subtest 'reloads' => sub {
    my ($load, $prefix) = start_clients();
    for (1 .. 5) {
        my $before = children($manager->pid);
        $manager->told;
        $manager->signal('HUP');
        ok($manager->await('READY=1'), 'ready again');
        ok($s->wait_until(5, sub { !grep { $before->{$_} } keys %{ children($manager->pid) } }), 'all processes are new');
    }
    all_is_well($load, $prefix);
};

subtest 'other binaries' => sub {
    ok($s->wait_until(5, \&from_cache), 'the cache is in use');
    my ($control) = $s->db->selectrow_array('SELECT epoch FROM cache_control');
    my ($load, $prefix) = start_clients();
    my $pid = $manager->pid;
    for my $n (1 .. 5) {
        my $before = children($pid);
        install(other_version($n));
        mark_log();
        $manager->told;
        $manager->signal('USR2');
        ok($manager->await('READY=1'), 'ready again');
        ok($s->wait_until(10, sub { !grep { $before->{$_} } keys %{ children($pid) } }), 'all processes are new');
        is([ sort values %{ children($pid) } ], [ sort values %$before ], 'as many as before');
        like(log_since(), qr/handing over to \Q$daemon\E\b.*version 9\.$n\b.* goes on with the sockets/s, "it is version 9.$n");
        unlike(log_since(), qr/"level":"error"| error /, 'and nothing went wrong');
        is([ grep { !/^\{.*\}$/ } split /\n/, log_since() ], [], 'each line of the log is an object');
        is(readlink "/proc/$pid/exe", $daemon, 'the master is the new binary, and the same process');
    }
    all_is_well($load, $prefix);
    ok($s->wait_until(5, \&from_cache), 'the cache is in use');
    is([ $s->db->selectrow_array('SELECT epoch FROM cache_control') ], [$control], 'in the same epoch');
};

subtest 'a binary that cannot take over' => sub {
    my %bad = (
        'no program' => 'rubbish',
        'half a program' => substr($this, 0, 20000),
        'one that accepts nothing' => "#!/bin/sh\necho no >&2\nexit 1\n",
        'one that leaves somebody behind' => "#!/bin/sh\nsleep 60 &\nexit 1\n",
        'one that is killed' => "#!/bin/sh\nkill -9 \$\$\n",
    );
    for my $name (sort keys %bad) {
        my $before = children($manager->pid);
        install($bad{$name});
        mark_log();
        $manager->told;
        $manager->signal('USR2');
        ok($manager->await('READY=1'), "$name: it goes on");
        like(log_since(), qr/not upgraded: \Q$daemon\E/, "$name: and says so");
        is([ grep { !/^\{.*\}$/ } split /\n/, log_since() ], [], "$name: as objects, each on its line");
        is(children($manager->pid), $before, "$name: with the same processes");
    }
    install(other_version(6));
    my $broken = $s->dir . '/conf.d/97-broken.conf';
    open my $out, '>', $broken or die "$broken: $!";
    print {$out} "frobnicate = 1\n";
    close $out;
    mark_log();
    $manager->signal('USR2');
    ok($manager->await('READY=1'), 'nor one with a configuration that cannot be used');
    like(log_since(), qr/frobnicate.*not upgraded/s, 'it says why');
    unlink $broken;
    is($s->get("$season/players/known-1/progress", \%viewer)->{status}, 200, 'all works on');
};

# The keys are there when the new binary is tested, and gone when it begins.
sub upgrade_without_keys {
    my ($keys, $code) = @_;
    my $real = "$daemon.real";
    rename $daemon, $real or die "$daemon: $!";
    install(qq{#!/bin/sh\ncase "\$*" in *--test*) ;; *) mv '$keys' '$keys.away' ;; esac\nexec '$real' "\$@"\n});
    my $before = children($manager->pid);
    mark_log();
    $manager->signal('USR2');
    ok($s->wait_until(10, sub { log_since() =~ /the processes of the binary before go on/ }), 'it says that it cannot begin');
    $code->($before);
    $manager->stop if !$manager->ended;
    install($this);
    unlink $real;
    ok($manager->start, 'all is as it was');
    return;
}

subtest 'a binary that finds no keys where it was tested with some' => sub {
    my $keys = $s->dir . '/keys/set.json';
    upgrade_without_keys($keys, sub {
        my ($before) = @_;
        sleep 2.5;
        my $now = children($manager->pid);
        is({ map { $_ => $now->{$_} } keys %$before }, $before, 'all processes of before are there');
        is($s->get("$season/players/known-1/progress", \%viewer)->{status}, 200, 'and answer');
        $manager->told;
        rename "$keys.away", $keys or die "$keys: $!";
        ok($manager->await('READY=1'), 'the keys are back: it begins');
        my $pid = $manager->pid;
        ok($s->wait_until(10, sub { !grep { $before->{$_} } keys %{ children($pid) } }), 'and those of before end');
        is($s->get("$season/players/known-1/progress", \%viewer)->{status}, 200, 'the new ones answer');
    });
    upgrade_without_keys($keys, sub {
        my ($before) = @_;
        kill 'KILL', keys %$before;
        ok($s->wait_until(10, sub { $manager->ended }), 'nobody of before is left: it ends');
        isnt($manager->{status}, 0, 'as one that failed');
        rename "$keys.away", $keys or die "$keys: $!";
    });
};

subtest 'one after another without a pause, and a stop in between' => sub {
    install($this);
    my ($load, $prefix) = start_clients();
    for (1 .. 3) {
        $manager->told;
        $manager->signal($_) for qw(USR2 HUP);
        ok($manager->await('READY=1'), 'ready');
    }
    ok($s->wait_until(10, sub { keys %{ children($manager->pid) } <= 10 }), 'the former ones are gone');
    all_is_well($load, $prefix);
    $manager->signal('USR2');
    is($manager->stop, 0, 'a stop while the binary is replaced is a stop');
    is([ grep { -d "/proc/$_" && (eval { slurp("/proc/$_/cmdline") } // '') =~ /\Q$daemon\E/ } map { m{/(\d+)$} } glob '/proc/[0-9]*' ], [], 'that leaves no process');
};

# Lanes that know no season refuse whatever they are asked; a HUP must not have them begin before the steward has read any.
subtest 'a reload before there are lanes' => sub {
    my $database = $s->pid('mariadb');
    my $lanes = sub { return [ grep { /^bp-(?:read|store|purchase|admin)$/ } values %{ children($manager->pid) } ] };
    kill 'STOP', $database;
    mark_log();
    $manager->launch;
    ok($s->wait_until(10, sub { grep { $_ eq 'bp-steward' } values %{ children($manager->pid) } }), 'the steward is there');
    is($lanes->(), [], 'and nobody who answers');
    $manager->told;
    $manager->signal('HUP');
    ok($s->wait_until(10, sub { log_since() =~ /"reloaded"/ }), 'reloaded');
    is($lanes->(), [], 'still nobody');
    is([ grep { $_ eq 'READY=1' } $manager->told ], [], 'nor is it said to be ready');
    kill 'CONT', $database;
    ok($manager->await('READY=1'), 'ready');
    is($s->get("$season/players/known-1/progress", \%viewer)->{status}, 200, 'and it is');
    is($manager->stop, 0, 'stopped');
};

subtest 'the watchdog' => sub {
    $manager->{watchdog_s} = 0.3;
    ok($manager->start, 'ready');
    $manager->told;
    sleep 1;
    cmp_ok(scalar(grep { $_ eq 'WATCHDOG=1' } $manager->told), '>=', 3, 'the master says that it lives');
    $manager->signal('STOP');
    $manager->told;
    sleep 0.7;
    is([ $manager->told ], [], 'a stopped one does not');
    $manager->signal('CONT');
    is($manager->stop, 0, 'stopped');
};

subtest 'sockets of its own' => sub {
    unlink map { "$run_dir/$_.sock" } qw(read store purchase admin);
    $s->start('battlepassd');
    ok(-S "$run_dir/$_.sock", "$_.sock") for qw(read store purchase admin);
    my $pid = $s->master_pid;
    my $before = children($pid);
    my ($load, $prefix) = start_clients();
    kill 'USR2', $pid;
    ok($s->wait_until(10, sub { !grep { $before->{$_} } keys %{ children($pid) } }), 'USR2 works without a service manager, too');
    all_is_well($load, $prefix);
    is($s->pid('battlepassd') . "\n", slurp("$run_dir/battlepassd.pid"), 'the pid file is the same');
    $s->stop('battlepassd');
    ok(!-e "$run_dir/$_.sock", "$_.sock goes with it") for qw(read store purchase admin);
};

done_testing;

#!/usr/bin/perl
# battlepassctl doctor: a healthy host has nothing to hide; each thing that is wrong is said, with what to type, and nothing else is.
# The example for Redis is one that it likes.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use File::Temp qw(tempdir);
use POSIX ();

my $s = Battlepass::Stack->new(binary_log => 1);
my $source = $ENV{TEST_SRCDIR} // '.';
my $scratch = tempdir(CLEANUP => 1);

# Words before the command are options of battlepassctl: (exit status, [ [verdict, about, text, what to type .. ] .. ])
sub doctor {
    my (@options) = @_;
    my ($status, $text) = $s->ctl(@options, 'doctor');
    my @found;
    for my $line (split /\n/, $text) {
        if ($line =~ /^(ok|warn|FAIL) +(\w+): (.*)$/) { push @found, [ $1, $2, $3 ] }
        elsif ($line =~ /^      -> (.*)$/) { push @{ $found[-1] }, $1 }
        elsif ($line !~ /^\d{4}-/) { push @found, [ 'unknown', $line ] } # a line of the log is on standard error
    }
    return ($status, \@found);
}

sub spew {
    my ($file, $text) = @_;
    open my $out, '>', $file or die "$file: $!";
    print {$out} $text;
    close $out or die "$file: $!";
    return;
}

# Limits of this machine are its own business.
sub wrong { my ($found) = @_; return [ grep { $_->[0] ne 'ok' && $_->[1] ne 'limits' } @$found ] }

sub finds {
    my ($name, $options, @expected) = @_;
    my ($status, $found) = doctor(@$options);
    my $failed = grep { $_->[0] eq 'FAIL' } @expected;
    my @limits = grep { $_->[1] eq 'limits' && $_->[0] eq 'FAIL' } @$found;
    is($status, $failed || @limits ? 1 : 0, "$name: exit status");
    return is(wrong($found), \@expected, "$name: what is wrong");
}

sub redis_has {
    my ($name, $value, @expected) = @_;
    my $before = $s->redis('CONFIG', 'GET', $name)->[1];
    $s->redis('CONFIG', 'SET', $name, $value);
    finds("$name $value", [], @expected);
    $s->redis('CONFIG', 'SET', $name, $before);
    return;
}

await_cache($s);

subtest 'a healthy host' => sub {
    my ($status, $found) = doctor();
    is($status, 0, 'exit status');
    is(wrong($found), [], 'nothing is wrong');
    my %about = map { $_->[1] => 1 } @$found;
    is([ sort keys %about ], [qw(Redis cache clocks configuration database keys limits seasons sockets)], 'all is looked at');
};

# Of the daemon, not of whoever asks.
subtest 'how many files may be open' => sub {
    my @ask = ('sh', '-c', 'ulimit -n 1024; exec "$@"', 'sh', $s->env->{BATTLEPASSCTL}, '-c', $s->env->{BATTLEPASS_CONF}, 'doctor');
    my $said = sub { open my $out, '-|', @ask or die "sh: $!"; local $/ = undef; return scalar <$out> };
    chomp(my $most = `sh -c 'ulimit -Hn'`);
    my $enough = $most eq 'unlimited' || $most >= 65536 ? qr/^ok +limits: enough files/m : qr/^warn +limits: $most files may be open in the daemon/m;
    like($said->(), $enough, 'in the daemon');
    is(system('prlimit', '--pid', $s->master_pid, '--nofile=1024:4096'), 0, 'fewer');
    like($said->(), qr/^warn +limits: 4096 files may be open in the daemon: 65536 are better\n +-> LimitNOFILE=65536/m, 'are seen');
    $s->stop('battlepassd');
    like($said->(), qr/^warn +limits: 1024 files may be open in a daemon that is started here/m, 'without a daemon those of the shell');
    $s->start('battlepassd');
    await_cache($s);
    like($said->(), $enough, 'in the daemon again');
};

subtest 'configuration and keys' => sub {
    finds('no economy', [ '-o', 'economy.url=' ], [ 'warn', 'economy', match qr/nothing is sold/ ]);
    finds('crash points', [ '-o', "crash_points=$scratch" ], [ 'FAIL', 'configuration', match qr/on purpose/, match qr/^remove crash_points/ ]);
    my $secret = $s->dir . '/conf.d/50-secret.conf';
    spew($secret, "economy {\n\ttoken = \"s3cret\"\n}\n");
    chmod 0644, $secret, $s->env->{BATTLEPASS_CONF};
    finds('a secret for all to read', [], [ 'warn', 'configuration', match qr/50-secret\.conf holds a secret/, match qr/^chmod o-r .*50-secret/ ]);
    chmod 0640, $secret;
    finds('a secret for few to read', []);
    finds('a file without it for all to read', [ '-o', 'economy.token=x' ]);
    unlink $secret;
    finds('no keys', [ '-o', "auth.keys=$scratch/none" ], [ 'FAIL', 'keys', match qr/No such file/, match qr/key generate/ ]);
    open my $out, '>', "$scratch/keys" or die $!;
    print {$out} '{"keys":[]}';
    close $out;
    finds('an empty set', [ '-o', "auth.keys=$scratch/keys" ], [ 'FAIL', 'keys', match qr/keys/ ]);
    finds('HS256', [ '-o', 'auth.allow_hs256=true' ], [ 'warn', 'keys', match qr/HS256/ ]);
    is([ $s->ctl('-o', 'no.such=1', 'doctor') ], [ 1, match qr/no\.such/ ], 'a configuration that cannot be read');
    is([ $s->ctl('doctor', 'more') ], [ 1, match qr/unexpected argument "more"/ ], 'an argument too many');
};

subtest 'database' => sub {
    my $db = $s->db;
    finds('not reached', [ '-o', "store.socket=$scratch/none" ], [ 'FAIL', 'database', match qr/connect/i, match qr/mariadb/ ]);
    $db->do('SET GLOBAL innodb_flush_log_at_trx_commit = 2');
    finds('commits that can be lost', [], [ 'warn', 'database', match qr/flush_log_at_trx_commit is 2/, match qr/^SET GLOBAL/ ]);
    $db->do('SET GLOBAL innodb_flush_log_at_trx_commit = 1');
    my ($most) = $db->selectrow_array('SELECT @@max_connections');
    $db->do('SET GLOBAL max_connections = 12');
    finds('few connections', [], [ 'FAIL', 'database', match qr/max_connections is 12/, match qr/^SET GLOBAL max_connections/ ]);
    $db->do("SET GLOBAL max_connections = $most");
    $db->do('UPDATE schema_migration SET finished = FALSE WHERE version = (SELECT MAX(version) FROM schema_migration)');
    finds('the schema of before', [], [ 'warn', 'database', match qr/is at version \d+, and this build has/, match qr/ migrate$/ ]);
    $db->do('UPDATE schema_migration SET finished = FALSE');
    finds('an old schema', [], [ 'FAIL', 'database', match qr/older than this build/, match qr/ migrate$/ ]);
    $db->do('UPDATE schema_migration SET finished = TRUE');
    finds('as before', []);
};

subtest 'Redis' => sub {
    redis_has('maxmemory', 0, [ 'FAIL', 'Redis', match qr/maxmemory is not set/, match qr/maxmemory 2gb/ ]);
    redis_has('maxmemory-policy', 'noeviction', [ 'FAIL', 'Redis', match qr/noeviction/, match qr/allkeys-lru/ ]);
    redis_has('maxmemory-policy', 'volatile-lru', [ 'FAIL', 'Redis', match qr/volatile-lru/, match qr/allkeys-lru/ ]);
    redis_has('maxmemory-policy', 'allkeys-lfu');
    redis_has('save', '900 1', [ 'warn', 'Redis', match qr/on disk/, match qr/save ''/ ]);
    redis_has('timeout', 60, [ 'warn', 'Redis', match qr/idle for 60 s/, match qr/timeout 0/ ]);
    redis_has('tcp-keepalive', 0, [ 'warn', 'Redis', match qr/tcp-keepalive is off/, match qr/tcp-keepalive 300/ ]);
    finds('not reached', [ '-o', "cache.socket=$scratch/none" ], [ 'FAIL', 'Redis', match qr/does not answer/, match qr/^redis-cli -s / ]);
};

# Another Redis with that configuration, for the time of the code.
sub with_redis {
    my ($text, $code) = @_;
    open my $out, '>', "$scratch/redis.conf" or die $!;
    print {$out} $text;
    close $out;
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDOUT, '>', "$scratch/redis.log" or POSIX::_exit(126);
        exec 'redis-server', "$scratch/redis.conf", '--port', 0, '--unixsocket', "$scratch/redis.sock", '--dir', $scratch or POSIX::_exit(127);
    }
    my $runs = $s->wait_until(10, sub { -S "$scratch/redis.sock" });
    $code->() if ok($runs, 'Redis takes it');
    kill 'TERM', $pid;
    waitpid $pid, 0;
    return is($?, 0, 'and ends well');
}

subtest 'examples/redis.conf' => sub {
    my @here = ('-o', "cache.socket=$scratch/redis.sock");
    my @elsewhere = ('FAIL', 'cache', match qr/another Redis/, match qr/same Redis/);
    open my $in, '<', "$source/examples/redis.conf" or die $!;
    my $example = do { local $/; <$in> };
    with_redis($example, sub {
        my (undef, $found) = doctor(@here);
        is([ map { $_->[2] } grep { $_->[1] eq 'Redis' } @$found ],
            [ match qr/a master, answers/, 'maxmemory is 2048 MiB', 'maxmemory-policy is allkeys-lru', 'it keeps nothing on disk' ], 'what is found');
        finds('as the example has it', \@here, \@elsewhere);
    });
    my %without = (
        'maxmemory ' => [ 'FAIL', match qr/maxmemory is not set/ ], 'maxmemory-policy' => [ 'FAIL', match qr/noeviction/ ], 'save' => [ 'warn', match qr/on disk/ ],
    );
    for my $name (sort keys %without) {
        my ($verdict, $text) = @{ $without{$name} };
        with_redis($example =~ s/^\Q$name\E.*\n//mr, sub { finds("without $name", \@here, [ $verdict, 'Redis', $text, match qr/^redis-cli/ ], \@elsewhere) });
    }
};

subtest 'the epoch of another Redis' => sub {
    $s->stop('battlepassd');
    my $db = $s->db;
    $db->do('UPDATE cache_control SET run_id = REPEAT("0", 40)');
    my (undef, $found) = doctor();
    is([ grep { $_->[1] eq 'cache' } @$found ], [ [ 'FAIL', 'cache', match qr/another Redis/, match qr/same Redis/ ] ], 'said');
    $db->do('UPDATE cache_control SET enabled = 0');
    (undef, $found) = doctor();
    is([ grep { $_->[1] eq 'cache' } @$found ], [ [ 'warn', 'cache', match qr/it is off/ ] ], 'off');
    is([ map { $_->[0] } grep { $_->[1] eq 'sockets' } @$found ], [ ('FAIL') x 4 ], 'and nobody is there at any socket');
    $s->start('battlepassd');
    await_cache($s);
    finds('as before', []);
};

subtest 'no binary log' => sub {
    $s->stop('mariadb');
    $s->{binary_log} = 0;
    $s->start('mariadb');
    finds('without', [], [ 'warn', 'database', match qr/no binary log/, match qr/log_bin = .*sync_binlog = 1/ ]);
};

done_testing;

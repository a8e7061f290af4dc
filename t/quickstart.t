#!/usr/bin/perl
# The promise of the README's first command: it starts, shows the main job, can be picked up again with its data, and leaves
# nothing behind.
use Test2::V0;
use File::Temp qw(tempdir);
use POSIX ();
use Time::HiRes qw(sleep);
use lib 't/lib';
use Battlepass::Stack;

my $source = $ENV{TEST_SRCDIR} // '.';
my $build = $ENV{TEST_BUILDDIR} // "$source/build";
skip_all 'the quickstart has a build folder of its own' if $build !~ m{^\Q$source\E/build/?$};

my $scratch = tempdir(CLEANUP => 1);
my $dir = "$scratch/stack";

sub quickstart {
    my @words = @_;
    my $text = qx($source/quickstart --no-build @words 2>&1);
    return ($? >> 8, $text);
}

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!";
    local $/ = undef;
    return <$in> // '';
}

sub env_of {
    my %env = slurp("$dir/env") =~ /^export (\w+)='(.*)'$/mg;
    return \%env;
}

sub processes {
    my ($folder) = @_;
    my @found;
    for my $file (glob '/proc/[0-9]*/cmdline') {
        open my $in, '<', $file or next;
        my $words = do { local $/; <$in> } // '';
        push @found, $words if index($words, $folder) >= 0;
    }
    return \@found;
}

my ($status, $text) = quickstart('--detach', '--dir', $dir);
is($status, 0, 'it starts') or diag $text;
like($text, qr/HTTP 200, from the store.*HTTP 201.*HTTP 200, from the cache/s, 'a read from the store, a grant, a read from the cache');
my $env = env_of();
for my $name (qw(BATTLEPASS_URL BATTLEPASS_TLS_URL BATTLEPASS_METRICS_URL PLAYER_TOKEN SERVER_TOKEN VIEWER_TOKEN SUPPORT_TOKEN
    DESIGNER_TOKEN ADMIN_TOKEN MYSQL_SOCKET REDIS_SOCKET MASTER_PID))
{
    ok(length $env->{$name}, "env has $name");
}
ok(kill(0, $env->{MASTER_PID}), 'the master runs');
is(qx(. $dir/env && curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Bearer \$VIEWER_TOKEN" \\
    \$BATTLEPASS_URL/v1/seasons/\$BATTLEPASS_SEASON/players/demo-1/progress), 200, 'a shell can source it and go on');

($status, $text) = quickstart('--stop', '--dir', $dir);
is($status, 0, 'it stops') or diag $text;
is(processes($dir), [], 'no process is left');

($status, $text) = quickstart('--detach', '--dir', $dir);
is($status, 0, 'the folder is picked up again') or diag $text;
like($text, qr/"xp":2500.*"xp":5000/s, 'with its data');
quickstart('--stop', '--dir', $dir);

# Ctrl-C in the foreground: while the servers start, and when they run.
for my $moment ('Starting in', 'Ctrl-C ends it') {
    my $log = "$scratch/foreground.log";
    unlink $log;
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        POSIX::setsid();
        $SIG{INT} = 'DEFAULT';
        open STDOUT, '>', $log;
        open STDERR, '>&', \*STDOUT;
        exec "$source/quickstart", '--no-build';
    }
    for (1 .. 600) {
        last if -s $log && slurp($log) =~ /$moment/;
        sleep 0.1;
    }
    sleep 0.4;
    kill 'INT', -$pid;
    waitpid $pid, 0;
    is($? >> 8, 130, "Ctrl-C after '$moment'");
    my ($folder) = slurp($log) =~ /^Starting in (.*)$/m;
    ok($folder, 'it had begun') or next;
    is(processes($folder), [], 'no process is left');
    ok(!-e $folder, 'no folder is left');
}

done_testing;

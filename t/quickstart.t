#!/usr/bin/perl
# The promise of the README's first command: it starts, shows the main jobs, can be picked up again with its data, prints lines
# that work, and leaves nothing behind.
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
    my $result = $? >> 8;
    $text =~ s/^(  .{110})\n  /$1/mg while $text =~ /^  .{110}\n  /m; # long answers are folded
    return ($result, $text);
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

# The answer that it showed last.
sub last_answer {
    my ($shown) = @_;
    my ($answer) = $shown =~ /.*The same, a moment later: \S+ \S+\n(.*?)\nBattle Pass runs/s;
    return $answer // '';
}

sub answer_to {
    my ($line) = @_;
    local $ENV{LINE} = ". $dir/env; $line";
    return scalar qx(bash -c "\$LINE" 2>/dev/null);
}

# What each of the lines that begin with curl answers.
sub pasted {
    my ($text) = @_;
    $text =~ s/\\\n//g;
    return map { answer_to($_) } grep { /^ *curl/ } split /\n/, $text;
}

my ($status, $text) = quickstart('--detach', '--dir', $dir);
is($status, 0, 'it starts') or diag $text;
like($text, qr/HTTP 200, from the store.*HTTP 201.*HTTP 200, from the cache/s, 'a read from the store, a grant, a read from the cache');
like($text, qr/"pass":"premium","price":\{"currency":"gems","amount":950\},"available":true.*HTTP 201\n.*"state":"granted"/s,
    'what can be bought, and a pass that is bought');
like($text, qr/"reward":"t1-prem","status":"claimed"/, 'a reward of that pass is claimed');
like(last_answer($text), qr/"delivery":"delivered"/, 'and delivered');
unlike(last_answer($text), qr/"delivery":"(?!delivered)/, 'as the others are');
my $env = env_of();
for my $name (qw(BATTLEPASS_URL BATTLEPASS_TLS_URL BATTLEPASS_METRICS_URL BATTLEPASS_ECONOMY_URL PLAYER_TOKEN SERVER_TOKEN VIEWER_TOKEN SUPPORT_TOKEN
    DESIGNER_TOKEN ADMIN_TOKEN MYSQL_SOCKET REDIS_SOCKET MASTER_PID))
{
    ok(length $env->{$name}, "env has $name");
}
ok(kill(0, $env->{MASTER_PID}), 'the master runs');
is(qx(. $dir/env && curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Bearer \$VIEWER_TOKEN" \\
    \$BATTLEPASS_URL/v1/seasons/\$BATTLEPASS_SEASON/players/demo-1/progress), 200, 'a shell can source it and go on');

# The lines that it prints about the economy service, as somebody would paste them.
like($text, qr/^  economy  \Q$env->{BATTLEPASS_ECONOMY_URL}\E /m, 'the address of the economy service');
my ($lines) = $text =~ /^The economy service's side(.*?)\n\n/ms;
my @answers = pasted($lines // '');
is(scalar @answers, 5, 'five lines about it');
like($answers[0], qr/"reference":"s1\/premium","state":"executed"/, 'what it has charged');
like($answers[1], qr/"fault":"drop"/, 'a fault is put');
like($answers[2], qr/^HTTP\S+ 202/, 'so that a purchase is not known yet');
my ($list) = grep { /purchases"$/ && !/-d/ } split /\n/, $lines;
like($answers[3], qr/"tiers":2,.*?"state":"debiting"/, 'it stands in the list');
like($answers[4], qr/^\{"faults":\[\]\}/, 'and all faults are taken away');
my $granted = qr/"tiers":2,[^\[]*"state":"granted"/;
for (1 .. 100) {
    last if answer_to($list) =~ $granted;
    sleep 0.1;
}
like(answer_to($list), $granted, 'the purchase is granted in the end');
is(() = answer_to($lines =~ /(curl \S+players\/demo-1")/) =~ /"executed"/g, 2, 'and was charged once, as the pass was');

($status, $text) = quickstart('--stop', '--dir', $dir);
is($status, 0, 'it stops') or diag $text;
is(processes($dir), [], 'no process is left');

($status, $text) = quickstart('--detach', '--dir', $dir);
is($status, 0, 'the folder is picked up again') or diag $text;
like($text, qr/"xp":4600.*"xp":7100/s, 'with its data');
like($text, qr/HTTP 201, the same as the first time.*"state":"granted"/s, 'the purchase is the one of the first time');
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

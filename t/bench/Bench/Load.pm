# Load generators as commands, and what they print as figures: wrk with our scripts, arrivals.c, h2load. It must never take a load
# for measured that was not answered as it should be: each result carries its faults.
package Bench::Load;

use strict;
use warnings;

use Bench::Table qw(percentile_of);
use Exporter qw(import);
use IO::Select;
use JSON::PP;
use List::Util qw(sum0);
use POSIX ();

our @EXPORT_OK = qw(arrivals_command arrivals_result arrivals_told finish h2load_command h2load_result start wrk_command wrk_result);

use constant {
    PRECISE_BELOW => 6000,   # requests a second: up to there each goes out by itself,
    TICK_US => [ 50, 1000 ], # beyond it those of a millisecond together
    H2LOAD_SETTLE_S => 1,
};

# --- commands ---

# Starts a command with that environment; reading its output waits for it.
# Loads that run. Whoever ends this program ends them, too, and what other modules end with it (Battlepass::Stack).
my %running; # output => process
my $main_pid = $$;
$SIG{TERM} //= sub { exit 143 };
END { my $status = $?; kill TERM => values %running if $$ == $main_pid; $? = $status }

sub start {
    my ($environment, @command) = @_;
    my $pid = open(my $out, '-|') // die "fork: $!";
    $running{$out} = $pid if $pid;
    if ($pid == 0) {
        $SIG{TERM} = 'DEFAULT';
        local %ENV = (%ENV, %$environment);
        open STDERR, '>&', \*STDOUT;
        exec @command or POSIX::_exit(127);
    }
    return $out;
}

# What the commands printed, in order, when all have ended; `meanwhile` is called again and again.
sub finish {
    my ($meanwhile, @outputs) = @_;
    my $select = IO::Select->new(@outputs);
    my %text = map { $_ => '' } @outputs;
    while ($select->count) {
        for my $out ($select->can_read(1)) {
            $select->remove($out) unless sysread $out, $text{$out}, 65536, length $text{$out};
        }
        $meanwhile->(@text{@outputs});
    }
    my @texts;
    for my $out (@outputs) {
        delete $running{$out};
        close $out or $text{$out} .= "\nended with status $?";
        push @texts, $text{$out};
    }
    return @texts;
}

# --- wrk ---

# load: threads, connections, seconds; environment: of the script (common.lua).
sub wrk_command {
    my ($script, $url, $load, %environment) = @_;
    my $threads = $load->{threads} // 2;
    return ({ %environment, BENCH_THREADS => $threads, BENCH_CONNECTIONS => $load->{connections} / $threads },
        'wrk', '--threads', $threads, '--connections', $load->{connections}, '--duration', "$load->{seconds}s", '--timeout', '10s',
        '--script', "$ENV{BENCH_DIR}/$script.lua", $url);
}

# rate, p50_ms, p99_ms, requests, and faults: why the figures must not be used. batch: what a request counts for. settle_ms: in
# which nothing was asked.
sub wrk_result {
    my ($text, $batch, $settle_ms) = @_;
    return { faults => ["wrk: $text"] } unless $text =~ /^BENCH (\{.*\})$/m;
    my $told = decode_json($1);
    my $us = $told->{duration_us} - $settle_ms * 1000;
    my @faults = map { "$told->{$_} $_ errors" } grep { $told->{$_} } qw(connect read write timeout status);
    push @faults, 'nothing was answered' unless $told->{requests};
    return {
        requests => $told->{requests}, seconds => $us / 1e6, rate => $told->{requests} * $batch / $us * 1e6,
        p50_ms => $told->{p50_us} / 1000, p99_ms => $told->{p99_us} / 1000, max_ms => $told->{max_us} / 1000,
        faults => \@faults,
    };
}

# --- arrivals.c ---

# load: url, rate, settle_ms, measure_ms, connections, within_ms, keys (six characters), file, in_order.
sub arrivals_command {
    my ($load) = @_;
    my ($port) = $load->{url} =~ /:(\d+)$/ or die "$load->{url} has no port\n";
    return ("$ENV{BENCH_SCRATCH}/arrivals", $load->{in_order} ? '-o' : (), '-p', $port, '-r', int $load->{rate}, '-s', $load->{settle_ms},
        '-m', $load->{measure_ms}, '-c', $load->{connections}, '-w', $load->{within_ms}, '-t', TICK_US->[ $load->{rate} > PRECISE_BELOW ],
        '-k', $load->{keys}, $load->{file});
}

sub arrivals_told {
    my ($text) = @_;
    return $text =~ /^(\{.*\})$/m ? decode_json($1) : die "arrivals: $text\n";
}

# Of a load that has to be answered as a whole.
sub arrivals_result {
    my ($text, $load) = @_;
    my $told = arrivals_told($text);
    my $seconds = $load->{measure_ms} / 1000;
    my @faults = map { "$told->{$_} $_" } grep { $told->{$_} } qw(late shed other failed lost unanswered);
    return {
        requests => $told->{good}, arrivals => $told->{arrivals}, answered => $told->{answered}, seconds => $seconds, rate => $told->{good} / $seconds, p50_ms => $told->{p50_us} / 1000,
        p99_ms => $told->{p99_us} / 1000, max_ms => $told->{max_us} / 1000, faults => \@faults,
    };
}

# --- h2load ---

# load: url (the beginning of those in the file), connections, streams, seconds, token, file (a path a line), log.
sub h2load_command {
    my ($load) = @_;
    return ('h2load', '--threads', 2, '--clients', $load->{connections}, '--max-concurrent-streams', $load->{streams}, '--duration',
        $load->{seconds}, '--warm-up-time', H2LOAD_SETTLE_S, '--header', "authorization: Bearer $load->{token}", '--base-uri', $load->{url},
        '--input-file', $load->{file}, '--log-file', $load->{log});
}

# The log has a line an answer: when, status, microseconds.
sub h2load_result {
    my ($text, $load) = @_;
    my ($failed, @other) = $text =~ /^requests: .* (\d+) failed, .*\nstatus codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx$/m
        or return { faults => ["h2load: $text"] };
    open my $in, '<', $load->{log} or die "$load->{log}: $!\n";
    my @ms = sort { $a <=> $b } map { (split /\t/)[2] / 1000 } <$in>;
    my @faults = map { $_->[0] ? "$_->[0] $_->[1]" : () } [ $failed, 'failed' ], [ sum0(@other), 'answers of other than 2xx' ];
    push @faults, 'nothing was answered' unless @ms;
    push @faults, 'it was not HTTP/2' unless $text =~ /^Application protocol: h2$/m;
    return {
        requests => scalar @ms, seconds => $load->{seconds}, rate => @ms / $load->{seconds}, p50_ms => percentile_of(50, @ms),
        p99_ms => percentile_of(99, @ms), max_ms => $ms[-1], faults => \@faults,
    };
}

1;

# A private stack with players of three groups, and lists of reads and grants played against it (replay.c): what the commands
# that break servers, and the one that plays a day, have in common. It must never use a stack that somebody else started.
package Bench::Replay;

use strict;
use warnings;

use Battlepass::Stack;
use Bench::Table qw(percentile_of);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use HTTP::Tiny;
use Time::HiRes qw(CLOCK_MONOTONIC clock_gettime sleep);

our @EXPORT_OK = qw(arrivals_at now_s percentile);

use constant {
    AMOUNT => 25,           # of every grant that is played
    BATCH_OF_SEED => 500,
    TOKEN_TTL_S => 86_400,
};

my $here = dirname(__FILE__) . '/..';
my $plays = 0;

sub now_s { return clock_gettime(CLOCK_MONOTONIC) }

# --- the stack and its players ---

# config: of the daemon. build: folder of the programs. A program's name => the folder's file: compiled once.
sub new {
    my ($class, %options) = @_;
    my $scratch = tempdir('battlepass-bench-XXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $self = bless { scratch => $scratch, names => [], offsets => [] }, $class;
    $self->compile('replay');
    $self->{s} = Battlepass::Stack->new(%options);
    return $self;
}

sub stack { return $_[0]{s} }
sub names { return @{ $_[0]{names} } }
sub tokens { return @{ $_[0]{tokens} } }

sub compile {
    my ($self, $name) = @_;
    my $program = "$self->{scratch}/$name";
    system($ENV{CC} // 'cc', '-O2', '-pthread', '-o', $program, "$here/$name.c", '-lm') == 0 or die "$name.c does not compile\n";
    return $program;
}

sub write_lines {
    my ($self, $name, @lines) = @_;
    my $file = "$self->{scratch}/$name";
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} map { "$_\n" } @lines;
    close $out or die "$file: $!\n";
    return $file;
}

sub tokens_of {
    my ($self, @names) = @_;
    my $subjects = $self->write_lines('subjects', @names);
    my $env = $self->{s}->env;
    my @command = ($env->{BATTLEPASSCTL}, '-c', $env->{BATTLEPASS_CONF}, 'token', '--key', $env->{DEV_KEY}, '--role', 'player',
        '--ttl', TOKEN_TTL_S, '--sub', '-');
    my $pid = open(my $out, '-|') // die "fork: $!\n";
    if ($pid == 0) {
        open STDIN, '<', $subjects or die "$subjects: $!\n";
        exec @command or die "exec: $!\n";
    }
    chomp(my @made = <$out>);
    close $out or die "battlepassctl token: $made[-1]\n";
    return @made;
}

# Players who have XP, the same grants for all; confirming a grant puts the document into Redis.
sub seed {
    my ($self, @names) = @_;
    my $s = $self->{s};
    my $seeds = ++$self->{seeds};
    my $http = HTTP::Tiny->new(timeout => 60);
    my %headers = ($s->as(server => 'game-server-1'), 'Content-Type' => 'application/json');
    while (my @some = splice @names, 0, BATCH_OF_SEED) {
        my $grants = join ',', map { sprintf '{"player":"%s","amount":%d,"source":"quest","idempotency_key":"seed-%d"}', $_, 1000 + int rand 9000, $seeds } @some;
        my $answer = $http->post($s->url . '/v1/seasons/' . $s->season . '/xp-grants', { headers => \%headers, content => "{\"grants\":[$grants]}" });
        my $granted = () = $answer->{content} =~ /"status":"granted"/g;
        die "seed: $answer->{status} $answer->{content}\n" if $granted != @some;
    }
    return;
}

# A group of players, with XP or without; the numbers that events call them by.
sub add_players {
    my ($self, $prefix, $count, $have_xp) = @_;
    my @names = map { sprintf '%s-%06d', $prefix, $_ } 1 .. $count;
    my $first = @{ $self->{names} };
    push @{ $self->{names} }, @names;
    push @{ $self->{tokens} }, $self->tokens_of(@names);
    $self->seed(@names) if $have_xp;
    return [ $first .. $first + $count - 1 ];
}

# What a player's XP is without the grants that are played, and when the value in Redis expires where that is played, too.
sub write_players {
    my ($self, $expires_at) = @_;
    my %offset = map { $_->[0] => $_->[1] } @{ $self->{s}->db->selectall_arrayref(
        'SELECT player_id, CAST(xp AS SIGNED) - ? * CAST(revision AS SIGNED) FROM progress WHERE season_id = ?', undef, AMOUNT, $self->{s}->season) };
    my ($names, $tokens) = @$self{qw(names tokens)};
    $self->{players} = $self->write_lines('players', map { "$names->[$_] " . ($offset{ $names->[$_] } // 0) . " $tokens->[$_] " . ($expires_at->{$_} // 0) } 0 .. $#$names);
    return;
}

# --- playing ---

# Arrivals of a Poisson process: [microseconds, kind, player] from one second to another, of players drawn evenly.
sub arrivals_at {
    my ($rate, $kind, $players, $from_s, $to_s) = @_;
    my @events;
    return @events unless $rate;
    for (my $at = $from_s; ($at += -log(1 - rand) / $rate) < $to_s;) {
        push @events, [ int($at * 1e6), $kind, $players->[ rand @$players ] ];
    }
    return @events;
}

sub command {
    my ($self, $expires_at, $events, $log, @more) = @_;
    my $s = $self->{s};
    $self->write_players($expires_at);
    my ($port) = $s->url =~ /:(\d+)$/;
    return ("$self->{scratch}/replay", $port, $s->season, $self->{players}, $s->token(server => 'game-server-1'), AMOUNT,
        'play' . ++$plays, $events, $log, @more);
}

# Plays the events at their times, and does meanwhile what `acts` says: [second, code] each, in order. A code that takes
# long delays those behind it. What came of each event: a hash of at_s, took_ms, player, kind, status, source, unconfirmed,
# verdict; times are seconds from the start.
sub play {
    my ($self, $events, @acts) = @_;
    my $file = $self->write_lines('events', map { "@$_" } sort { $a->[0] <=> $b->[0] } @$events);
    my $log = "$self->{scratch}/log";
    open my $out, '-|', $self->command({}, $file, $log) or die "replay: $!\n";
    my $started = <$out> // die "replay did not start\n";
    my $start_s = $started / 1e6;
    for my $act (@acts) {
        my $left = $start_s + $act->[0] - now_s();
        sleep $left if $left > 0;
        $act->[1]->($start_s);
    }
    close $out or die "replay ended with $?\n";
    return read_log($log);
}

# Plays a day as fast as so many connections can, with that life of a value in Redis (replay.c). expires_at: what is there at
# midnight, by player. Returns the seconds that it took, how many values expired, and the file of the answers (read_log).
sub play_day {
    my ($self, $events, $expires_at, $ttl_s, $connections) = @_;
    my $file = $self->write_lines('events', map { "@$_" } @$events);
    my $log = "$self->{scratch}/log";
    my ($epoch) = $self->{s}->db->selectrow_array('SELECT epoch FROM cache_control');
    my $begin_s = now_s();
    open my $out, '-|', $self->command($expires_at, $file, $log, $connections, $ttl_s, $self->{s}->env->{REDIS_SOCKET}, "bp:$epoch:")
        or die "replay: $!\n";
    my $expired = <$out>;
    close $out or die "replay ended with $?\n";
    return (now_s() - $begin_s, $expired + 0, $log);
}

sub read_log {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    my @answers;
    while (my $line = <$in>) {
        my %answer;
        @answer{qw(at took player kind status source unconfirmed verdict)} = split ' ', $line;
        $answer{at_s} = $answer{at} / 1e6;
        $answer{took_ms} = $answer{took} / 1000;
        $answer{end_s} = ($answer{at} + $answer{took}) / 1e6;
        push @answers, \%answer;
    }
    return @answers;
}

# Of their latencies in milliseconds; percent 100: the longest.
sub percentile {
    my ($percent, @answers) = @_;
    return percentile_of($percent, sort { $a <=> $b } map { $_->{took_ms} } @answers);
}

1;

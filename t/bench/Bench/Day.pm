# A day of players, made from a seed: who plays how often, when, and what a client asks for meanwhile. Pure: numbers in, events
# out. Times are milliseconds of that day.
package Bench::Day;

use strict;
use warnings;

use Exporter qw(import);
use List::Util qw(min);

our @EXPORT_OK = qw(day_of expected);

use constant {
    DAY_MS => 86_400_000,
    # The player of rank r plays MATCHES_A_PLAYER * players / r matches a day (Zipf, exponent 1), but MATCHES_MOST at most; who
    # plays none looks in with that probability.
    MATCHES_A_PLAYER => 0.4,
    MATCHES_MOST => 40,
    LOOKS_IN => 0.2,
    MATCHES_A_SESSION => 4,    # mean, geometric
    MATCH_MS => [ 600_000, 1_200_000 ],
    QUEUE_MS => [ 10_000, 90_000 ],   # from the last look to the next match
    REFRESH_MS => [ 500, 3_000 ],     # from a match's end to the client's own read
    VIEWS => 3,                       # mean, geometric: looks at the pass, its rewards and its tiers, in the lobby
    VIEW_MS => [ 3_000, 40_000 ],
};

sub between { my ($range) = @_; return $range->[0] + int rand($range->[1] - $range->[0]) }

# Geometric, from 0 on.
sub geometric { my ($mean) = @_; return int(log(1 - rand) / log($mean / (1 + $mean))) }

# More in the evening than in the morning: the density is 1 + 0.8 sin, least at five, most at seventeen.
sub moment {
    while (1) {
        my $at = rand;
        return int($at * DAY_MS) if rand() * 1.8 < 1 + 0.8 * sin(2 * 3.14159265 * ($at - 11 / 24));
    }
}

sub lobby {
    my ($events, $player, $at) = @_;
    for (1 .. geometric(VIEWS)) { push @$events, [ $at += between(VIEW_MS), 'r', $player ] }
    return $at;
}

# Returns when it ends. What lies behind midnight is not played.
sub session {
    my ($events, $player, $at, $matches) = @_;
    push @$events, [ $at, 'r', $player ]; # login
    $at = lobby($events, $player, $at);
    for (1 .. $matches) {
        $at += between(QUEUE_MS) + between(MATCH_MS);
        push @$events, [ $at, 'w', $player ];
        push @$events, [ $at += between(REFRESH_MS), 'r', $player ];
        $at = lobby($events, $player, $at);
    }
    return $at;
}

sub sessions_of {
    my ($matches) = @_;
    my @sessions;
    while ($matches > 0) {
        my $these = min($matches, 1 + geometric(MATCHES_A_SESSION - 1));
        push @sessions, $these;
        $matches -= $these;
    }
    return @sessions;
}

# [milliseconds, r|w, player], sorted. Ranks are shuffled over the players' numbers.
sub day_of {
    my ($seed, $players) = @_;
    srand $seed;
    my @events;
    for my $rank (1 .. $players) {
        my $mean = min(MATCHES_MOST, MATCHES_A_PLAYER * $players / $rank);
        my $matches = int($mean + rand);
        my @sessions = $matches ? sessions_of($matches) : rand() < LOOKS_IN ? (0) : ();
        my @starts = sort { $a <=> $b } map { moment() } @sessions;
        my $free_at = 0;
        for my $i (0 .. $#sessions) {
            my $start = $starts[$i] > $free_at ? $starts[$i] : $free_at;
            $free_at = session(\@events, $rank - 1, $start, $sessions[$i]) + between([ 60_000, 1_800_000 ]);
        }
    }
    return sort { $a->[0] <=> $b->[0] || $a->[2] <=> $b->[2] } grep { $_->[0] < DAY_MS } @events;
}

# What a cache that forgets after so many seconds and never otherwise must come to: reads, hits, grants, ratio. until: when
# what is in it at first expires, by player.
sub expected {
    my ($ttl_s, $until_at_first, @events) = @_;
    my %until = %$until_at_first;
    my %count = (reads => 0, hits => 0, grants => 0);
    for my $event (@events) {
        my ($at, $kind, $player) = @$event;
        $count{ $kind eq 'r' ? 'reads' : 'grants' }++;
        if ($kind eq 'r' && ($until{$player} // -1) > $at) {
            $count{hits}++;
        } else {
            $until{$player} = $at + $ttl_s * 1000;
        }
    }
    return { %count, ratio => $count{reads} ? 100 * $count{hits} / $count{reads} : 0 };
}

1;
